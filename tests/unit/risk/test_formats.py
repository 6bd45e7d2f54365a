"""Published lists in their own formats."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import Invalid
from risk.formats import Contents, Listed, read
from risk.lists import SAMPLE

LAZARUS = "0x098b716b8aaf21512996dc57eb0615e2383e2f96"
KARASAVIDI = "0xd882cfc20f52f2599d84b8e8d58c7fb62cfe344b"
YAN = "0x7f367cc41522ce07553e823bf3be79a889debe1b"

# As OFAC writes sdn.csv: no header, empty columns as -0-, ^Z at the end.
SDN_CSV = (
    '36,"AEROCARIBBEAN AIRLINES",-0- ,"CUBA",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- \r\n'
    '27307,"KARASAVIDI, Dmitrii","individual","CYBER2] [RUSSIA-EO14024",-0- ,-0- ,-0- ,-0- ,-0- ,'
    '-0- ,-0- ,"DOB 09 Jul 1985; Email Address 2000@911.af; Digital Currency Address - XBT'
    " 1Q6saNmqKkyFB9mFR68Ck8F7Dp7dTopF2W; alt. Digital Currency Address - XBT"
    " 1DDA93oZPn7wte2eR1ABwcFoxUFxkKMwCf; Digital Currency Address - ETH"
    " 0xd882cfc20f52f2599d84b8e8d58c7fb62cfe344b; Digital Currency Address - ETC"
    ' 0xd882cfc20f52f2599d84b8e8d58c7fb62cfe344b; Passport 75 5276391 (Russia)."\r\n'
    "\x1a"
)
SDN_COMMENTS = (
    '27307,"Digital Currency Address - USDT 0x7F367cC41522cE07553e823bf3be79A889DEbe1B;"\r\n'
)
ADVANCED = """<?xml version="1.0" encoding="utf-8"?>
<Sanctions xmlns="https://sanctionslistservice.ofac.treas.gov/api/PublicationPreview/exports/ADVANCED_XML" Version="1">
  <DateOfIssue CalendarTypeID="1"><Year>2026</Year><Month>1</Month><Day>5</Day></DateOfIssue>
  <ReferenceValueSets>
    <FeatureTypeValues>
      <FeatureType ID="8" FeatureTypeGroupID="1">Birthdate</FeatureType>
      <FeatureType ID="344" FeatureTypeGroupID="1">Digital Currency Address - XBT</FeatureType>
      <FeatureType ID="345" FeatureTypeGroupID="1">Digital Currency Address - ETH</FeatureType>
      <FeatureType ID="887" FeatureTypeGroupID="1">Digital Currency Address - USDT</FeatureType>
    </FeatureTypeValues>
  </ReferenceValueSets>
  <DistinctParties>
    <DistinctParty FixedRef="21386">
      <Comment />
      <Profile ID="21386" PartySubTypeID="4">
        <Identity ID="9" FixedRef="21386" Primary="true" False="false">
          <Alias FixedRef="21386" AliasTypeID="1403" Primary="true" LowQuality="false">
            <DocumentedName ID="9" FixedRef="21386" DocNameStatusID="1">
              <DocumentedNamePart>
                <NamePartValue NamePartGroupID="1" ScriptID="215">YAN</NamePartValue>
              </DocumentedNamePart>
              <DocumentedNamePart>
                <NamePartValue NamePartGroupID="2" ScriptID="215">Xiaobing</NamePartValue>
              </DocumentedNamePart>
            </DocumentedName>
          </Alias>
          <Alias FixedRef="21386" AliasTypeID="1400" Primary="false" LowQuality="false">
            <DocumentedName ID="10" FixedRef="21386" DocNameStatusID="2">
              <DocumentedNamePart>
                <NamePartValue NamePartGroupID="1" ScriptID="215">ZHOU</NamePartValue>
              </DocumentedNamePart>
            </DocumentedName>
          </Alias>
        </Identity>
        <Feature ID="36617" FeatureTypeID="8">
          <FeatureVersion ID="34336" ReliabilityID="1560"><VersionDetail>x</VersionDetail></FeatureVersion>
        </Feature>
        <Feature ID="36618" FeatureTypeID="345">
          <FeatureVersion ID="34337" ReliabilityID="1560">
            <Comment />
            <VersionDetail DetailTypeID="1432">0x7F367cC41522cE07553e823bf3be79A889DEbe1B</VersionDetail>
          </FeatureVersion>
          <IdentityReference IdentityID="9" IdentityFeatureLinkTypeID="1" />
        </Feature>
        <Feature ID="36619" FeatureTypeID="887">
          <FeatureVersion ID="34338" ReliabilityID="1560">
            <VersionDetail DetailTypeID="1432">0x7F367cC41522cE07553e823bf3be79A889DEbe1B</VersionDetail>
          </FeatureVersion>
        </Feature>
        <Feature ID="36620" FeatureTypeID="344">
          <FeatureVersion ID="34339" ReliabilityID="1560">
            <VersionDetail DetailTypeID="1432">12QtD5BFwRsdNsAZY76UVE1xyCGNTojH9h</VersionDetail>
          </FeatureVersion>
        </Feature>
      </Profile>
    </DistinctParty>
  </DistinctParties>
  <SanctionsEntries>
    <SanctionsEntry ID="25308" ProfileID="21386" ListID="1550">
      <EntryEvent ID="1"><Comment /></EntryEvent>
      <SanctionsMeasure ID="1" SanctionsTypeID="1"><Comment>SDNTK</Comment></SanctionsMeasure>
      <SanctionsMeasure ID="2" SanctionsTypeID="1"><Comment>CYBER2</Comment></SanctionsMeasure>
    </SanctionsEntry>
  </SanctionsEntries>
</Sanctions>
"""  # noqa: E501 - as they write it


def contents(folder: Path, text: str | bytes) -> Contents:
    file = folder / "list"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(file)


def test_the_sample_is_a_list() -> None:
    found = read(SAMPLE)
    assert found.entries == {
        LAZARUS: Listed("1", "LAZARUS GROUP", ["DPRK3"], ["ETH"]),
        KARASAVIDI: Listed("2", "Dmitrii KARASAVIDI", ["CYBER2"], ["ETH", "ETC"]),
        YAN: Listed("3", "Xiaobing YAN", ["SDNTK"], ["ETH"]),
    }
    assert found.others == 1


def test_the_plain_csv(tmp_path: Path) -> None:
    found = contents(tmp_path, SDN_CSV)
    programs = ["CYBER2", "RUSSIA-EO14024"]
    assert found.entries == {
        KARASAVIDI: Listed("27307", "KARASAVIDI, Dmitrii", programs, ["ETH", "ETC"])
    }
    assert found.others == 2
    comments = contents(tmp_path, SDN_COMMENTS)
    assert comments.entries == {YAN: Listed("27307", None, [], ["USDT"])}


def test_the_advanced_xml(tmp_path: Path) -> None:
    found = contents(tmp_path, ADVANCED)
    assert found.entries == {
        YAN: Listed("21386", "YAN Xiaobing", ["SDNTK", "CYBER2"], ["ETH", "USDT"])
    }
    assert found.others == 1


def test_lines_and_json(tmp_path: Path) -> None:
    text = f"\ufeff# ETH\n\n{LAZARUS}  # Lazarus\n0x7F367cC41522cE07553e823bf3be79A889DEbe1B\n"
    found = contents(tmp_path, text + "12QtD5BFwRsdNsAZY76UVE1xyCGNTojH9h\n")
    assert found.entries == {LAZARUS: Listed(name="Lazarus"), YAN: Listed()}
    assert found.others == 1
    assert set(contents(tmp_path, json.dumps([LAZARUS, YAN])).entries) == {LAZARUS, YAN}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (ADVANCED[:2000], "not whole XML"),
        ("<html><body>Service unavailable", "not whole XML"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><sdnList>&a;</sdnList>', "document type"),
        ("1,2,3\n", "line 1 has 3 columns"),
        (f"{LAZARUS}\nSorry!\n", "line 2 is no address"),
        (f'["{LAZARUS}", 7]', "element 1 is no address"),
        ('["0x', "not whole JSON"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(Invalid, match=told) as refused:
        contents(tmp_path, text)
    assert (refused.value.code, refused.value.errors[0].field) == ("unreadable_list", "file")


def test_an_empty_file_has_no_address(tmp_path: Path) -> None:
    assert contents(tmp_path, "").entries == {}
    assert contents(tmp_path, "<sdnList/>").entries == {}
