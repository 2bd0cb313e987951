"""The site: the pages of docs/ and those that are generated from the package, built by Sphinx."""
