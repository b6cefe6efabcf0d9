"""A keyboard that counts: every press is one, Tab and Enter and a chord with Control among them."""

from __future__ import annotations

from playwright.sync_api import Page

MOUSE = """() => {
  window.touchedByMouse = 0;
  for (const kind of ['mousedown', 'pointerdown', 'touchstart', 'wheel'])
    addEventListener(kind, () => { window.touchedByMouse += 1; }, true);
}"""


class Keys:
    """Presses keys on a page and counts them, and the mouse events that were not to be."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.count = 0
        page.add_init_script(f"({MOUSE})()")
        page.evaluate(MOUSE)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
            self.count += 1

    def type(self, text: str) -> None:
        self.press(*text)

    @property
    def mouse_events(self) -> int:
        return int(self.page.evaluate("window.touchedByMouse"))
