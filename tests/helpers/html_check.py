"""Properties of a page of HTML that a browser would forgive, and people would not."""

from html.parser import HTMLParser

VOID = {'meta', 'img', 'wbr', 'br', 'link', 'input', 'hr'}


class Page(HTMLParser):
    """A parsed page.

    Args:
        text: The page.

    Attributes:
        problems: What is wrong, in words.
        elements: Name and attributes of each element.
        text: The text of the page, without tags.
    """

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.problems: list[str] = []
        self.elements: list[tuple[str, dict]] = []
        self.text = ''
        self._open: list[str] = []
        self.feed(text)
        self.close()
        if self._open:
            self.problems.append(f'never closed: {self._open}')
        self._check_attributes()

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if len(dict(attributes)) < len(attributes):
            self.problems.append(f'{tag}: an attribute twice')
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        if not self._open or self._open[-1] != tag:
            self.problems.append(f'line {self.getpos()[0]}: </{tag}> closes {self._open[-1:]}')
        else:
            self._open.pop()

    def handle_data(self, data):
        if not self._open or self._open[-1] not in ('style', 'script'):
            self.text += data

    def _check_attributes(self) -> None:
        ids = [attributes['id'] for _, attributes in self.elements if 'id' in attributes]
        if repeated := {name for name in ids if ids.count(name) > 1}:
            self.problems.append(f'ids more than once: {repeated}')
        for tag, attributes in self.elements:
            if tag == 'th' and 'scope' not in attributes:
                self.problems.append('a th without scope')
            if tag == 'img' and not attributes.get('alt'):
                self.problems.append('an img without alt')
            for name in ('aria-labelledby', 'href'):
                value = attributes.get(name) or ''
                if name == 'href' and not value.startswith('#'):
                    if value:
                        self.problems.append(f'a link away: {value}')
                elif value and value.removeprefix('#') not in ids:
                    self.problems.append(f'{tag}: nothing has the id {value}')
            source = attributes.get('src')
            if source is not None and not source.startswith('data:image/'):
                self.problems.append(f'{tag}: not embedded: {source}')
