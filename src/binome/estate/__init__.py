"""What the platform is: one file, read into a frozen model or refused with every mistake at once."""

from binome.estate.load import load
from binome.estate.model import Estate
from binome.estate.problem import EstateError, Place, Problem

__all__ = ["Estate", "EstateError", "Place", "Problem", "load"]
