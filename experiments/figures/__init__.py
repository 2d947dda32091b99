"""Figures, one file each: ``draw(data, ax)`` from results that exist; nothing here simulates.

python -m experiments.figures            # redraw the standing figures from results/
"""
