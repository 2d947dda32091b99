"""Tables, one file each: rows in, a rich table or Markdown out."""
