"""Two hundred user strings: the exact id, or a refusal."""

from __future__ import annotations

import pytest

from enforcer.errors import ImageError
from enforcer.oci.user import ACCOUNTS_LIMIT, GROUPS_LIMIT, home_of, resolve_user

PASSWD = b"""\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1::/:/bin/false
1000:x:0:0:a name that is a number:/root:/bin/sh
web:x:10001:10002::/srv:/bin/sh
web:x:0:0:a second web:/root:/bin/sh
a.b-c_d:x:7:8::/:
machine$:x:9:9::/:
# comment:x:0:0::/:
+nis:x:0:0::/:
broken:x:minus:0::/:
huge:x:4294967296:0::/:
overflow:x:2147483648:0::/:
negative:x:-1:0::/:
octal:x:0017:0::/:
badgroup:x:11:x::/:
short:x:12

:x:0:0::/:
"""
GROUP = b"""\
root:x:0:
web:x:10002:web
logs:x:50:daemon,web
more:x:60:web,other
1000:x:0:web2
webbing:x:70:webb
nope:x:80
badid:x:x:badmember
toobig:x:2147483648:
"""

ACCEPTED: dict[str, tuple[int, int, tuple[int, ...]]] = {
    "": (0, 0, ()),
    "0": (0, 0, ()),
    "root": (0, 0, ()),
    "0:0": (0, 0, ()),
    "root:root": (0, 0, ()),
    "web": (10001, 10002, (50, 60)),
    "10001": (10001, 10002, (50, 60)),
    "web:50": (10001, 50, ()),
    "web:logs": (10001, 50, ()),
    "web:0": (10001, 0, ()),
    "10001:10001": (10001, 10001, ()),
    "1000": (1000, 0, ()),
    "1000:1000": (1000, 1000, ()),
    "1": (1, 1, (50,)),
    "daemon": (1, 1, (50,)),
    "7": (7, 8, ()),
    "a.b-c_d": (7, 8, ()),
    "machine$": (9, 9, ()),
    "9:web": (9, 10002, ()),
    "65532": (65532, 0, ()),
    "2147483647": (2147483647, 0, ()),
    "2147483647:2147483647": (2147483647, 2147483647, ()),
    "4242:nope": (4242, 80, ()),
}
_SPELLINGS = (
    "0x0", "+0", "-0", "00", "01", "0o0", "0b0", "0.0", "0e0", "1e3", "1_000", "1,000", " 0", "0 ", "\t0", "0\n",
    "0\0", "\u0660",
    "\uff10", "\u00b2",
    "-1", "-2", "--1", "+1", "++1", "1-", "1+", "0-0", "2147483648", "2147483649", "4294967294", "4294967295", "4294967296",
    "4294967297", "9999999999", "18446744073709551615", "18446744073709551616", "18446744073709551617", "9" * 100, "9" * 5000,
    "0xffffffff", "0x7fffffff", "NaN", "inf", "1.0", "$0", "~", "*", "%", "!", "@", "#", "'0'", '"0"', "[0]", "{0}", "(0)",
    "a b",
    "nobody", "Web", "WEB", "web ", " web", "web\n", "web\0", "w\0eb", "web/", "../web", "/web", "web;id", "web$x", "$web",
    "-web",
    ".web", "web\\", "w\u00e9b", "w\u0435b", "w\u200beb", "\u202eweb", "a" * 300, "comment", "# comment", "+nis",
    "nis", "x", "short",
    "broken", "huge", "overflow", "negative", "octal", "badgroup",
)  # fmt: skip
REFUSED = (
    *_SPELLINGS,
    *(f"{spelling}:0" for spelling in _SPELLINGS[:40]),
    *(f"0:{spelling}" for spelling in _SPELLINGS[:56]),
    ":", "::", "0:", ":0", "0::", "0:0:", "0:0:0", ":root", "root:", "root::root", "web:nogroup", "web:toobig", "web:badid",
    "0:web2", "0;0",
)  # fmt: skip


def test_the_table_has_two_hundred_strings() -> None:
    assert len({*ACCEPTED, *REFUSED}) >= 200
    assert not {*ACCEPTED} & {*REFUSED}


@pytest.mark.parametrize("spec", sorted(ACCEPTED))
def test_cve_2026_30892_a_user_is_exactly_the_one_written(spec: str) -> None:
    assert resolve_user(spec, PASSWD, GROUP) == ACCEPTED[spec]


@pytest.mark.parametrize("spec", REFUSED, ids=lambda spec: ascii(spec)[:40])
def test_cve_2026_30892_what_is_no_user_is_refused(spec: str) -> None:
    with pytest.raises(ImageError):
        resolve_user(spec, PASSWD, GROUP)


def test_cve_2016_3697_a_number_is_never_a_name() -> None:
    assert resolve_user("1000", PASSWD, GROUP) == (1000, 0, ())
    assert resolve_user("0:1000", PASSWD, GROUP) == (0, 1000, ())


def test_cve_2024_40635_ids_beyond_two_to_the_31_are_refused() -> None:
    for number in (2**31, 2**32 - 1, 2**32, 2**64):
        for spec in (f"{number}", f"0:{number}"):
            with pytest.raises(ImageError, match="beyond"):
                resolve_user(spec, b"", b"")


def test_cve_2023_25173_supplementary_groups_are_those_that_list_the_user() -> None:
    assert resolve_user("web", PASSWD, GROUP)[2] == (50, 60)
    assert resolve_user("web:web", PASSWD, GROUP)[2] == ()


def test_cve_2026_47262_accounts_are_bounded() -> None:
    line = b"web:x:1:1::/:\n"
    assert resolve_user("web", line.ljust(ACCOUNTS_LIMIT, b"#"), b"") == (1, 1, ())
    with pytest.raises(ImageError, match="larger"):
        resolve_user("web", line.ljust(ACCOUNTS_LIMIT + 1, b"#"), b"")
    with pytest.raises(ImageError, match="larger"):
        resolve_user("0", b"", b"#" * (ACCOUNTS_LIMIT + 1))
    many = b"".join(b"g%d:x:%d:web\n" % (n, n + 10) for n in range(GROUPS_LIMIT + 1))
    with pytest.raises(ImageError, match="more than"):
        resolve_user("web", line, many)


def test_names_without_accounts_are_refused_and_numbers_are_not() -> None:
    assert resolve_user("5", b"", b"") == (5, 0, ())
    with pytest.raises(ImageError, match="no user"):
        resolve_user("web", b"", b"")


def test_the_home_is_that_of_the_uid() -> None:
    assert home_of(10001, PASSWD) == "/srv"
    assert home_of(0, PASSWD) == "/root"
    assert home_of(4242, PASSWD) == "/"
    for home in (b"", b"relative", b"/\0", b"/\xff"):
        assert home_of(5, b"a:x:5:5::" + home + b":/bin/sh\n") == "/"
