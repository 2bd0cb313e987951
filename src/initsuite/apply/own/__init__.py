"""A person's own network, data and laws, as what the suite trains: read, checked, and given ids."""
