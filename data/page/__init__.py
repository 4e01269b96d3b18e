"""A page's main text in one compiled pass: bytes in, text, title and links out."""
