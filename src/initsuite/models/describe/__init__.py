"""From a module to the facts about each of its parameters."""
