"""Figures, one file each: ``draw(rows, ax)`` from tables that exist; nothing here simulates."""
