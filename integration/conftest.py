"""Makes the lab and the client of ``serve`` importable for all tests below."""

from __future__ import annotations

import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent

for _folder in (_HERE, _HERE / "client"):
    sys.path.insert(0, str(_folder))
