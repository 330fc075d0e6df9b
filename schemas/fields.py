"""What the schemas share: the two wire policies and the bounded types of their fields.

Every text and every list has a largest length and every number a range, so that no single record can hold up the
stream. A bound that readers need is said in the field's description, in the same words that are built here.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import ConfigDict, Field

# What comes in may carry fields that we do not know: its producers move on before we do.
INPUT: Final = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False, frozen=True)
# What goes out is ours to the last field.
OUTPUT: Final = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, frozen=True)

ID_LENGTH: Final = 64
TIME_MIN_MS: Final = 946_684_800_000  # 2000-01-01T00:00:00Z
TIME_END_MS: Final = 4_102_444_800_000  # 2100-01-01T00:00:00Z
AMOUNT_MAX_CENTS: Final = 10**12
AMOUNT_MAX: Final = AMOUNT_MAX_CENTS / 100

ID_WORDS: Final = f"1 to {ID_LENGTH} characters"
TIME_WORDS: Final = "integer milliseconds since 1970, UTC, from 2000-01-01 on and before 2100-01-01"
CENTS_WORDS: Final = f"integer cents, 0 to {AMOUNT_MAX_CENTS}"
AMOUNT_WORDS: Final = f"in currency units (cents / 100), 0 to {AMOUNT_MAX:.0f}"

Id = Annotated[str, Field(min_length=1, max_length=ID_LENGTH)]
TimeMs = Annotated[int, Field(ge=TIME_MIN_MS, lt=TIME_END_MS)]
AmountCents = Annotated[int, Field(ge=0, le=AMOUNT_MAX_CENTS)]
Amount = Annotated[float, Field(ge=0.0, le=AMOUNT_MAX)]
Count = Annotated[float, Field(ge=0.0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
