"""What a bank's credit transfer may say: account numbers, and the letters that banks take."""

from __future__ import annotations

import re
import unicodedata

_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", re.ASCII)
_BIC = re.compile(r"[A-Z]{6}[A-Z0-9]{2}([A-Z0-9]{3})?", re.ASCII)
# The Latin set of the European Payments Council (EPC217-08).
_TAKEN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/-?:().,'+ ")
_WRITTEN = str.maketrans(
    {"ß": "ss", "Æ": "AE", "æ": "ae", "Œ": "OE", "œ": "oe", "Ø": "O", "ø": "o", "Đ": "D", "đ": "d",
     "Ł": "L", "ł": "l", "Þ": "Th", "þ": "th", "Ð": "D", "ð": "d", "ı": "i", "&": "+"}
)  # fmt: skip


def iban(text: str) -> str:
    """Without blanks and in upper case, if its checksum (ISO 13616: mod 97) holds. Raises
    ValueError."""
    plain = re.sub(r"\s", "", text).upper()
    if not _IBAN.fullmatch(plain):
        raise ValueError("must be an IBAN: two letters, two digits and 11 to 30 more characters")
    turned = plain[4:] + plain[:4]
    if int("".join(str(int(character, 36)) for character in turned)) % 97 != 1:
        raise ValueError("its check digits are wrong: mistyped?")
    return plain


def bic(text: str) -> str:
    """Of 8 or 11 characters (ISO 9362), in upper case. Raises ValueError."""
    plain = re.sub(r"\s", "", text).upper()
    if not _BIC.fullmatch(plain):
        raise ValueError("must be a BIC of 8 or 11 characters")
    return plain


def latin(text: str) -> str:
    """As a bank takes it: accents go, signs that it lacks become blanks. Raises ValueError for
    letters of other scripts, which nobody could recognise afterwards, and where nothing is left."""
    apart = unicodedata.normalize("NFKD", text.translate(_WRITTEN))
    bare = "".join(one for one in apart if not unicodedata.combining(one))
    strange = [one for one in bare if one.isalnum() and one not in _TAKEN]
    if strange:
        raise ValueError(f"has letters that banks do not take: {''.join(strange)[:20]}")
    found = " ".join("".join(one if one in _TAKEN else " " for one in bare).split())
    if not any(one.isalnum() for one in found):
        raise ValueError("has no letter in it")
    return found
