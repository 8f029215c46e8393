"""What the platform is: one file, read into a frozen model or refused with every mistake at once."""

from binome.estate.load import load
from binome.estate.model import Estate
from binome.estate.problem import EstateError, Place, Problem
from binome.estate.text import MAX_BYTES

__all__ = ["MAX_BYTES", "Estate", "EstateError", "Place", "Problem", "load"]
