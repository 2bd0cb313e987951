"""Optimizers, by the names of conf/optimizer."""

from initsuite.optim.adam import Adam, AdamW
from initsuite.optim.rmsprop import RmsProp
from initsuite.optim.sgd import Sgd

__all__ = ["Adam", "AdamW", "RmsProp", "Sgd"]
