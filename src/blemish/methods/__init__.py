"""Methods: one folder per published system, the contract they fulfil, and their registry."""

from blemish.methods.registry import names, register

__all__ = ["names", "register"]
