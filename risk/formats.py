"""Lists of addresses as they are published -> our entries. Told apart by their contents:

- OFAC's SDN list, https://sanctionslist.ofac.treas.gov/Home/SdnList: SDN_ADVANCED.XML, SDN.XML, and
  sdn.csv with its sdn_comments.csv (ent_num, remarks; no header). Each digital currency address is
  "Digital Currency Address - " and a currency (OFAC's FAQ 563), then the address.
- one address a line, `#` begins a comment, and a JSON list of addresses: how extracts of it and
  other lists come.

An address of Ethereum's shape counts on every network, whatever currency it is listed under; those
of other chains are counted and left out.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from xml.etree import ElementTree

from core.errors import Invalid

MARK = "Digital Currency Address - "
_ETHEREUM = re.compile(r"0x[0-9a-fA-F]{40}")
_ANY_ADDRESS = re.compile(r"[0-9A-Za-z:]{20,256}")
_REMARK = re.compile(rf"{MARK}([0-9A-Z]+) ([0-9A-Za-z]+)")
_PROGRAMS = re.compile(r"\] ?\[")
_NOTHING = "-0-"  # how the CSV writes an empty column
_HEAD = 4096


@dataclass(slots=True)
class Listed:
    """What a list says of one address. `uid` and `name` are of the first party it is listed for."""

    uid: str | None = None
    name: str | None = None
    programs: list[str] = field(default_factory=list)
    currencies: list[str] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        return {
            "uid": self.uid,
            "name": self.name,
            "programs": self.programs,
            "currencies": self.currencies,
        }


@dataclass(slots=True)
class Contents:
    """A list as read: lower-case address -> facts, how many addresses are of other chains, and the
    file's SHA-256."""

    entries: dict[str, Listed] = field(default_factory=dict)
    others: int = 0
    digest: str = ""

    def add(self, address: str, currency: str | None, party: Listed) -> None:
        if not _ETHEREUM.fullmatch(address):
            self.others += 1
            return
        entry = self.entries.setdefault(
            address.lower(), Listed(party.uid, party.name, list(party.programs))
        )
        if currency is not None and currency not in entry.currencies:
            entry.currencies.append(currency)


def read(path: Path) -> Contents:
    """Raises Invalid `unreadable_list` with what is wrong and where, OSError."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        contents = _read(file)
    contents.digest = digest
    return contents


def _read(file: IO[bytes]) -> Contents:
    head = file.read(_HEAD).lstrip(b"\xef\xbb\xbf \t\r\n")
    file.seek(0)
    if head.startswith(b"<"):
        return _xml(file, head)
    text = file.read().decode("utf-8-sig", errors="replace")
    if head.startswith(b"["):
        return _json(text)
    return _csv(text) if b"," in head else _lines(text)


def _xml(file: IO[bytes], head: bytes) -> Contents:
    """Party by party: the advanced list has more than 100 MB."""
    if b"<!DOCTYPE" in head or b"<!ENTITY" in head:
        raise _unreadable("a document type is not wanted here: OFAC's lists have none")
    contents = Contents()
    features: dict[str, str] = {}  # FeatureTypeID -> currency
    by_profile: dict[str, list[Listed]] = {}
    try:
        for _, element in ElementTree.iterparse(file):  # noqa: S314 - no DTD, so no entities
            tag = element.tag.rpartition("}")[2]
            if tag == "FeatureType" and (element.text or "").startswith(MARK):
                features[element.attrib["ID"]] = (element.text or "")[len(MARK) :]
            elif tag == "sdnEntry":
                _plain_entry(element, contents)
                element.clear()
            elif tag == "DistinctParty":
                _party(element, features, contents, by_profile)
                element.clear()
            elif tag == "SanctionsEntry":
                _programs(element, by_profile)
                element.clear()
    except ElementTree.ParseError as error:
        raise _unreadable(f"it is not whole XML: {error}") from None
    return contents


def _plain_entry(entry: ElementTree.Element, contents: Contents) -> None:
    """SDN.XML: <sdnEntry> with <idList><id><idType/><idNumber/></id>."""
    names = [_text(entry, name) for name in ("firstName", "lastName")]
    party = Listed(
        uid=_text(entry, "uid"),
        name=" ".join(name for name in names if name) or None,
        programs=[e.text or "" for e in entry.iterfind("{*}programList/{*}program")],
    )
    for one in entry.iterfind("{*}idList/{*}id"):
        kind = _text(one, "idType") or ""
        if kind.startswith(MARK):
            contents.add(_text(one, "idNumber") or "", kind[len(MARK) :], party)


def _party(
    party: ElementTree.Element,
    features: dict[str, str],
    contents: Contents,
    by_profile: dict[str, list[Listed]],
) -> None:
    """SDN_ADVANCED.XML: <DistinctParty> with <Feature FeatureTypeID=...>."""
    for profile in party.iterfind("{*}Profile"):
        uid = profile.attrib.get("ID", "")
        primary = profile.find("{*}Identity/{*}Alias[@Primary='true']/{*}DocumentedName")
        parts = primary.iter() if primary is not None else iter(())
        values = [e.text or "" for e in parts if e.tag.endswith("NamePartValue")]
        listed = Listed(uid=uid, name=" ".join(values) or None)
        for feature in profile.iterfind("{*}Feature"):
            currency = features.get(feature.attrib.get("FeatureTypeID", ""))
            if currency is None:
                continue
            for detail in feature.iterfind("{*}FeatureVersion/{*}VersionDetail"):
                address = (detail.text or "").strip()
                contents.add(address, currency, listed)
                if (entry := contents.entries.get(address.lower())) is not None:
                    by_profile.setdefault(uid, []).append(entry)


def _programs(entry: ElementTree.Element, by_profile: dict[str, list[Listed]]) -> None:
    """The programs stand in <SanctionsEntry>, after all the parties."""
    comments = entry.iterfind("{*}SanctionsMeasure/{*}Comment")
    programs = [e.text for e in comments if e.text]
    for listed in by_profile.get(entry.attrib.get("ProfileID", ""), ()):
        listed.programs += [p for p in programs if p not in listed.programs]


def _csv(text: str) -> Contents:
    contents = Contents()
    rows = csv.reader(text.replace("\x1a", "").splitlines())
    try:
        for row in rows:
            if len(row) not in (0, 2, 12):
                raise _unreadable(
                    f"line {rows.line_num} has {len(row)} columns: sdn.csv has 12,"
                    " sdn_comments.csv has 2"
                )
            for party, currency, address in _remarks([column.strip() for column in row]):
                contents.add(address, currency, party)
    except csv.Error as error:
        raise _unreadable(f"line {rows.line_num}: {error}") from None
    return contents


def _remarks(row: list[str]) -> Iterator[tuple[Listed, str, str]]:
    if not row:
        return
    party = Listed(uid=row[0])
    if len(row) == 12:
        party.name = row[1]
        party.programs = [] if row[3] == _NOTHING else _PROGRAMS.split(row[3].strip("[]"))
    for currency, address in _REMARK.findall(row[-1]):
        yield party, currency, address


def _json(text: str) -> Contents:
    try:
        addresses = json.loads(text)
    except ValueError as error:
        raise _unreadable(f"it is not whole JSON: {error}") from None
    contents = Contents()
    for index, address in enumerate(addresses):
        if not isinstance(address, str) or not _ANY_ADDRESS.fullmatch(address):
            raise _unreadable(f"element {index} is no address")
        contents.add(address, None, Listed())
    return contents


def _lines(text: str) -> Contents:
    contents = Contents()
    for number, line in enumerate(text.splitlines(), 1):
        address, _, comment = (part.strip() for part in line.partition("#"))
        if not address:
            continue
        if not _ANY_ADDRESS.fullmatch(address):
            raise _unreadable(f"line {number} is no address: {address[:60]!r}")
        contents.add(address, None, Listed(name=comment or None))
    return contents


def _text(element: ElementTree.Element, name: str) -> str | None:
    found = element.findtext(f"{{*}}{name}")
    return found.strip() if found else None


def _unreadable(message: str) -> Invalid:
    return Invalid.of("file", message, code="unreadable_list")
