"""What `binome check` prints: a matrix of products and losses, the findings, and what to do next."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import batched
from textwrap import wrap

from binome.analysis.edit import Change
from binome.analysis.explain import is_lost, left, listed, load_left, sentence, unprotected
from binome.analysis.findings import Finding, Severity
from binome.analysis.losses import Loss, bits
from binome.analysis.outcome import UNTOUCHED, Detail, Evaluation, Outcome, Platform, details, outcome_at
from binome.analysis.survey import Survey
from binome.analysis.times import duration

MOST_ROWS = 20
MOST_COLUMNS = 18
MOST_OF_A_RULE = 5
