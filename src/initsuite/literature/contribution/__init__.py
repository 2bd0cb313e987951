"""A claim or an initializer of one's own: a folder with law, file and rows, checked before it is accepted."""
