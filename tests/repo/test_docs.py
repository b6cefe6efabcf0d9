"""The documents say what the code does.

docs/rules.md is written by hand; where a test fails, what it expected is the text that belongs on the page.
"""

import ast
import io
import json
import re
import tokenize
from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from importlib import import_module
from pathlib import Path

import pytest

from infusion.answers import answer
from infusion.contradictions import contradictions
from infusion.services.administration import THERAPEUTIC, further_hours
from infusion.services.calculate import calculate
from infusion.services.facts import Administration, Discard, Encounter, Vial
from infusion.services.findings import CLAIM_MESSAGES
from infusion.services.reference import Reference, Rule, Source, shipped_reference
from payers.policy import DISCARD_REASONS, PARAMETERS, Parameter, national_baseline

ROOT = Path(__file__).resolve().parents[2]
RULES_PAGE = ROOT / "docs/rules.md"
PAGE = RULES_PAGE.read_text(encoding="utf-8")
REFERENCE = shipped_reference()
DATA = ROOT / "infusion/services/reference_data"
RULE_FILES = sorted([*(ROOT / "infusion/services").glob("*.py"), ROOT / "payers/policy.py"])
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")])

Row = dict[str, str]


def section(heading: str) -> str:
    """The text under a heading, up to the next one of the same or a higher level."""
    level = heading.partition(" ")[0]
    found = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{len(level)}}} |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found, f"docs/rules.md has no heading {heading!r}"
    return found[1]


def table(heading: str) -> list[Row]:
    """The rows of the first table under a heading, by column."""
    lines = [line for line in section(heading).splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    cells = [[cell.strip("| ") for cell in row] for row in cells]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


# What a payer may decide --------------------------------------------------------------------------------------------


def citation(key: str, reference: Reference = REFERENCE) -> str:
    return f"[{key}]" if reference.sources[key].address else "general knowledge"


def begun_small(words: str) -> str:
    """A label as it stands within a sentence: what begins with a code stays as it is."""
    return words if words[1:2].isupper() or words[1:2].isdigit() else words[:1].lower() + words[1:]


def values_of(parameter: Parameter) -> str:
    if parameter.choices:
        return "; ".join(f"`{value}`: {begun_small(words)}" for value, words in parameter.choices.items())
    known = {"flag": "`true` or `false`", "codes": "a list of codes", "text": "a text", "amount": "a decimal"}
    text = known.get(parameter.kind) or f"{parameter.lowest} to {parameter.highest}"
    return f"{text}, or `null`" if parameter.optional else text


def parameter_row(parameter: Parameter) -> str:
    cells = (
        f"`{parameter.name}`",
        f"**{parameter.label}.** {parameter.meaning}",
        values_of(parameter),
        parameter.words(parameter.default),
        citation(parameter.source),
    )
    return f"| {' | '.join(cells)} |"


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_page_states_every_parameter(name: str) -> None:
    row = parameter_row(PARAMETERS[name])
    assert row in PAGE.splitlines(), f"docs/rules.md lacks:\n{row}"


def test_the_page_states_no_other_parameter() -> None:
    assert [row["Parameter"].strip("`") for row in table("## What a payer may decide")] == list(PARAMETERS)


def test_the_page_says_what_is_not_applied_yet() -> None:
    engine = " ".join(path.read_text(encoding="utf-8") for path in (ROOT / "infusion/services").glob("*.py"))
    unread = [f"`{name}`" for name in PARAMETERS if f'"{name}"' not in engine]
    stated = re.search(r"^Not applied yet: (.+?)\.", section("## What a payer may decide"), re.MULTILINE)
    assert (stated[1].split(", ") if stated else []) == unread


# What holds for every payer -----------------------------------------------------------------------------------------


def with_links(text: str) -> str:
    """Source keys in parentheses become links: (HAUQA) -> ([HAUQA])."""
    return re.sub(
        r"\(([A-Z][A-Z0-9-]+)\)", lambda hit: f"([{hit[1]}])" if hit[1] in REFERENCE.sources else hit[0], text
    )


def rule_block(key: str, rule: Rule) -> str:
    doubt = f"\n*In doubt:* {with_links(rule.doubt)}\n" if rule.doubt else ""
    return f"### {rule.title}\n\n{rule.statement}\n\n`{key}` · {citation(rule.source)}\n{doubt}"


@pytest.mark.parametrize("key", REFERENCE.rules)
def test_the_page_states_every_rule(key: str) -> None:
    block = rule_block(key, REFERENCE.rules[key])
    assert block in PAGE, f"docs/rules.md lacks:\n{block}"


def test_the_page_states_no_other_rule() -> None:
    titles = re.findall(r"^### (.+)$", section("## What holds for every payer"), re.MULTILINE)
    assert titles == [rule.title for rule in REFERENCE.rules.values()]


# Before a claim leaves ---------------------------------------------------------------------------------------------


def test_the_page_states_every_check_of_a_claim() -> None:
    stated = {row["Check"].strip("`"): row["Weight"] for row in table("## Before a claim leaves")}
    assert stated == {code: str(severity) for code, (severity, _) in CLAIM_MESSAGES.items()}


# Worked tables ------------------------------------------------------------------------------------------------------


def hours_in_words(minutes: int, threshold_minutes: int) -> str:
    infusion_minimum_minutes = (
        national_baseline().on(date(2026, 3, 10), "office").read("infusion_minimum_minutes").minutes
    )
    if minutes < infusion_minimum_minutes:
        return THERAPEUTIC.push
    units = further_hours(minutes, 60, threshold_minutes).units
    return THERAPEUTIC.infusion + (f" + {THERAPEUTIC.further_hour} x{units}" if units else "")


def minute_row(minutes: int) -> str:
    """What the national rule gives, and what other thresholds would; a difference is bold."""
    baseline, *others = (hours_in_words(minutes, threshold) for threshold in (31, 30, 60, 1))
    cells = [str(minutes), baseline, *(words if words == baseline else f"**{words}**" for words in others)]
    return f"| {' | '.join(cells)} |"


def test_the_minute_table_is_what_the_engine_counts() -> None:
    stated = [line for line in section("## From minutes to units").splitlines() if re.match(r"\| \d", line)]
    assert stated == [minute_row(minutes) for minutes in (15, 16, 30, 31, 60, 75, 90, 91, 120, 150, 151, 210, 211)]


def drug_lines(row: Row) -> str:
    """What the engine makes of a row of the amounts table: "J2350 x280; J2350 JW x20"."""
    vials = [part.split(" x ") for part in row["Vials (mg)"].split(", ")]
    reasons = {words.lower(): reason for reason, words in DISCARD_REASONS.items()}
    discards = [
        Discard(amount=Decimal(amount), reason=reasons[reason])
        for amount, reason in re.findall(r"([0-9.]+) ([^,]+)", row["Discarded (mg)"])
    ]
    given = Administration(
        id="a1",
        drug=row["Drug"],
        route="iv_infusion",
        ordered=Decimal(row["Ordered (mg)"]),
        administered=Decimal(row["Given (mg)"]),
        vials=tuple(Vial(count=int(count), amount=Decimal(amount)) for count, amount in vials),
        discards=tuple(discards),
    )
    encounter = Encounter(
        time_zone="America/New_York",
        setting="office",
        date_of_service=date.fromisoformat(row["Date of service"]),
        administrations=(given,),
    )
    lines = calculate(encounter, national_baseline(), REFERENCE).lines
    return "; ".join(" ".join((line.code, *line.modifiers, f"x{line.units}")) for line in lines)


@pytest.mark.parametrize("row", table("## From milligrams to units"), ids=lambda row: " ".join(row.values()))
def test_the_amounts_table_is_what_the_engine_counts(row: Row) -> None:
    assert row["Lines"] == drug_lines(row)


def test_the_verified_drug_rows_are_named() -> None:
    verified = {row.code for rows in REFERENCE.drugs.values() for row in rows if row.status == "verified"}
    stated = re.search(r"^Verified drug rows: (.+)\.$", section("## What is in doubt"), re.MULTILINE)
    assert stated
    assert set(stated[1].split(", ")) == verified


# Sources ------------------------------------------------------------------------------------------------------------


def source_row(key: str, source: Source) -> str:
    return f"| [{key}] | {source.title} | {source.confidence} |"


def cited_on_the_page() -> set[str]:
    return {key for key in re.findall(r"\[([A-Z][A-Z0-9-]+)\](?!:)", PAGE) if key in REFERENCE.sources}


def test_every_source_on_the_page_has_its_row_and_its_address() -> None:
    cited = cited_on_the_page()
    rows = {row["Key"].strip("[]"): row for row in table("## Sources")}
    addresses = dict(re.findall(r"^\[([A-Z0-9-]+)\]: <(\S+)>$", PAGE, re.MULTILINE))
    assert set(rows) == set(addresses) == cited
    for key in cited:
        assert source_row(key, REFERENCE.sources[key]) in PAGE.splitlines()
        assert addresses[key] == REFERENCE.sources[key].address


def comments(source: str) -> Iterator[str]:
    """The comments and docstrings of a module."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield ast.get_docstring(node) or ""


def bracketed(texts: Iterable[str]) -> set[str]:
    """Source keys cited as [KEY] or [KEY, OTHER]."""
    keys = r"\[([A-Z][A-Z0-9-]{2,}(?:, [A-Z][A-Z0-9-]{2,})*)\]"
    return {key for text in texts for keys_found in re.findall(keys, text) for key in keys_found.split(", ")}


def keys_named_by_fields() -> set[str]:
    """The `source` of every parameter, rule and row."""
    fields = {parameter.source for parameter in PARAMETERS.values()}
    for path in DATA.glob("*.toml"):
        fields |= set(re.findall(r'^source = "([^"]+)"$', path.read_text(encoding="utf-8"), re.MULTILINE))
    sides = [side for found in contradictions().values() for side in (found.first, found.second)]
    return fields | {side.source for side in sides}


def keys_named_in_words(keys: Iterable[str]) -> set[str]:
    """Keys that a note or a doubt names in its text."""
    prose = " ".join(
        text
        for path in DATA.glob("*.toml")
        for text in re.findall(r'^(?:note|doubt) = "(.+)"$', path.read_text(encoding="utf-8"), re.MULTILINE)
    )
    return {key for key in keys if re.search(rf"(?<![\w-]){re.escape(key)}(?![\w-])", prose)}


def test_every_source_named_in_code_or_data_is_listed() -> None:
    in_code = bracketed(text for path in RULE_FILES for text in comments(path.read_text(encoding="utf-8")))
    in_doubts = set(
        re.findall(r"\(([A-Z][A-Z0-9]*-?[A-Z0-9]{3,})\)", " ".join(r.doubt for r in REFERENCE.rules.values()))
    )
    assert "MLOVER" in in_code
    assert "HAUQA" in in_doubts
    assert (in_code | in_doubts | keys_named_by_fields()) - set(REFERENCE.sources) == set()


def test_no_source_is_listed_for_nothing() -> None:
    in_code = bracketed(text for path in RULE_FILES for text in comments(path.read_text(encoding="utf-8")))
    used = in_code | keys_named_by_fields() | keys_named_in_words(REFERENCE.sources)
    assert set(REFERENCE.sources) - used == set()


def test_every_contradiction_leads_to_a_rule_that_is_there() -> None:
    found = contradictions()
    assert len(found) >= 20
    assert all(each.chosen in ("first", "second", "neither") and each.why for each in found.values())
    assert {each.rule for each in found.values()} - {""} - set(REFERENCE.rules) - set(PARAMETERS) == set()


def test_an_unknown_and_an_unused_source_would_be_seen() -> None:
    source = '"""Hours [IFR96415, NOWHERE]."""\nhours = rows[KEY]  # as in [RMC]\n'
    assert bracketed(comments(source)) == {"IFR96415", "NOWHERE", "RMC"}
    assert keys_named_in_words(["AAPC-2009", "AAPC-20", "UNUSED"]) == {"AAPC-2009"}


# Reasons ------------------------------------------------------------------------------------------------------------

# Where a function takes the key of a rule, and at which place.
TAKES_A_RULE = {"Because": 0, "rule": 0, "_rule": 0, "_plain_line": 1, "_push_part": 2}


def rule_keys(source: str) -> set[str]:
    """Every rule key written out in a call."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            place = TAKES_A_RULE.get(name, len(node.args))
            if place < len(node.args) and isinstance(key := node.args[place], ast.Constant):
                found.add(key.value)
    return found


def test_every_reason_names_a_rule_that_is_stated() -> None:
    used = {key for path in RULE_FILES for key in rule_keys(path.read_text(encoding="utf-8"))}
    assert {"administered_units", "next_push", "packaged_drug", "repeat_infusion"} <= used
    assert used - set(REFERENCE.rules) - set(PARAMETERS) == set()


def test_a_rule_key_is_seen_wherever_it_is_given() -> None:
    source = 'Because("a", text, key)\nclaim.rule("b", text)\nself._plain_line(pool, "c", text)\nother("d")'
    assert rule_keys(source) == {"a", "b", "c"}


def test_every_reason_given_for_the_open_cases_is_stated_and_sourced() -> None:
    cases = (ROOT / "tests/rules/cases/open.jsonl").read_text(encoding="utf-8").splitlines()
    reasons = [
        reason
        for case in cases
        for line in answer(json.dumps(json.loads(case)["input"] | {"payer": ""}).encode()).get("lines", [])  # type: ignore[attr-defined]
        for reason in line["because"]
    ]
    assert len(reasons) > len(cases)
    assert {reason["rule"] for reason in reasons} <= set(REFERENCE.rules) | set(PARAMETERS)
    assert {reason["source"] for reason in reasons} <= set(REFERENCE.sources)


# Every document -----------------------------------------------------------------------------------------------------


def paths_named(text: str) -> set[str]:
    """Files and folders of the repository that a text names in backticks: `infusion/urls.py`, `docs/`."""
    return set(re.findall(r"`((?:infusion|payers|tests|docs|templates|static|\.ci)/[\w./-]*)`", text))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_name_what_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"(?<!!)\[[^\]]+\]\((?!https?://|#)([^)#\s]+)", text)
    assert [link for link in links if not (path.parent / link).exists()] == []
    assert sorted(name for name in paths_named(text) if not (ROOT / name).exists()) == []


def test_a_file_that_does_not_exist_would_be_seen() -> None:
    assert paths_named("see `infusion/nowhere.py` and `docs/`, not `a/b`") == {"infusion/nowhere.py", "docs/"}


def test_every_document_is_on_the_map() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pages = [path.name for path in (ROOT / "docs").glob("*.md")] + ["decisions/"]
    assert [name for name in pages if f"(docs/{name})" not in readme] == []


def example(readme: str) -> tuple[str, list[str]]:
    """The encounter that the README's command echoes, and the pieces of the answer that it shows."""
    command = re.search(r"^```sh\n(echo .+?)^\|", readme, re.MULTILINE | re.DOTALL)
    shown = re.search(r"^```json\n(.+?)^```$", readme, re.MULTILINE | re.DOTALL)
    assert command
    assert shown
    # Lines are broken for the reader: indented where a token ends, by one space within a sentence.
    unbroken = re.sub(r"\n(?: (?=\S)|\s*)", lambda hit: " " if hit[0] == "\n " else "", shown[1])
    return " ".join(re.findall(r"'([^']*)'", command[1])), [piece for piece in unbroken.split("…") if piece]


def missing_pieces(pieces: list[str], text: str) -> list[str]:
    """Pieces that do not follow one another in the text."""
    missing, position = [], 0
    for piece in pieces:
        found = text.find(piece, position)
        if found < 0:
            missing.append(piece)
        else:
            position = found + len(piece)
    return missing


def test_the_example_in_the_readme_is_what_the_command_answers() -> None:
    encounter, pieces = example((ROOT / "README.md").read_text(encoding="utf-8"))
    answered = json.dumps(answer(encounter.encode()), ensure_ascii=False, separators=(",", ":"))
    assert len(pieces) > 3
    assert missing_pieces(pieces, answered) == []
    assert missing_pieces([pieces[0], '"units":2'], answered) == ['"units":2']


# Glossary -----------------------------------------------------------------------------------------------------------

MODULES = {path.stem: import_module(".".join(path.relative_to(ROOT).with_suffix("").parts)) for path in RULE_FILES}


def stands_for_something(name: str) -> bool:
    """Whether `facts.Pause` or `Vial.amount` is a name in the rules."""
    owner, _, attribute = name.partition(".")
    if owner in MODULES:
        return hasattr(MODULES[owner], attribute)
    classes = [vars(module)[owner] for module in MODULES.values() if owner in vars(module)]
    return any(attribute in dir(each) or attribute in getattr(each, "__annotations__", {}) for each in classes)


def test_the_glossary_points_at_names_that_exist() -> None:
    text = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    names = re.findall(r"`([A-Za-z_]+\.[A-Za-z_]+)`", text)
    assert len(names) > 30
    assert [name for name in names if not stands_for_something(name)] == []
    assert not stands_for_something("facts.Nothing")
    assert not stands_for_something("Vial.nothing")
