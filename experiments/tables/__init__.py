"""How do results read? One file per table: rows in, a table for a screen or for a paper out."""
