"""Makes ``ansible_collections`` importable where plain pytest runs these tests."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[5]))
