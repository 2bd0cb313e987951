"""The Hydra sweeper of initsuite. Hydra imports this at every start: nothing heavy may be imported here."""
