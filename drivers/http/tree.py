"""A small XML document as a tree, by expat, with limits: what a meter sends needs no more (XML 1.0, fifth edition).

A document type declaration is refused, so there are no entities but the five of XML, and none can grow. At most 8
levels, 4,096 elements and 64 KiB of text in one element.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.parsers import expat

from drivers.http.exact import Unusable, clip

DEPTH_MAX, ELEMENTS_MAX, TEXT_MAX = 8, 4096, 65_536


@dataclass(slots=True)
class Element:
    """One element; *text* is what stands in it outside of its children."""

    name: str
    attributes: dict[str, str]
    children: list[Element] = field(default_factory=list)
    text: str = ""

    def named(self, name: str) -> list[Element]:
        """The children of that name."""
        return [child for child in self.children if child.name == name]


def parse(data: bytes) -> Element:
    """The root. Raises Unusable."""
    builder = _Builder()
    parser = expat.ParserCreate()
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.StartDoctypeDeclHandler = builder.doctype
    parser.EntityDeclHandler = builder.doctype
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.characters
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        # ValueError and LookupError are about the encoding that the document names.
        at = error.offset if isinstance(error, expat.ExpatError) else 0
        line = error.lineno if isinstance(error, expat.ExpatError) else 1
        raise Unusable(f"no XML: line {line}, column {at}: {str(error).partition(':')[0][:60]}") from error
    assert builder.root is not None, "expat refuses a document without an element"
    return builder.root


class _Builder:
    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[Element] = []
        self._count = 0

    def doctype(self, *_: object) -> None:
        raise Unusable("its XML declares a document type or entities, which is refused")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > ELEMENTS_MAX or len(self._open) >= DEPTH_MAX:
            raise Unusable(f"its XML has more than {ELEMENTS_MAX} elements or {DEPTH_MAX} levels, at {clip(name)}")
        element = Element(name, attributes)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def end(self, _name: str) -> None:
        self._open.pop()

    def characters(self, text: str) -> None:
        element = self._open[-1]
        if len(element.text) + len(text) > TEXT_MAX:
            raise Unusable(f"its XML has more than {TEXT_MAX} characters in one element")
        element.text += text
