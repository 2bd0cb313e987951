"""The report in words: terminal, Markdown, LaTeX, HTML and JSON."""
