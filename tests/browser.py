"""Pages in a browser: the Chromium of the system, driven by Playwright, and what of a page lies where it should not."""

import os
import shutil
from contextlib import contextmanager

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
SIZES = [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]
"""Widths of a page and colours that its reader prefers."""

MISPLACED = """() => {
  const found = [], add = (what, element) => found.push(`${what}: ${element.textContent.trim().slice(0, 60)}`);
  const root = document.scrollingElement;
  if (root.scrollWidth > innerWidth) found.push(`the page is ${root.scrollWidth} wide in a window of ${innerWidth}`);
  const within = (a, b) => Math.max(b.left - a.left, a.right - b.right, b.top - a.top, a.bottom - b.bottom) < 0.5;
  const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  const drawn = [...document.querySelectorAll("svg text")].filter(text => text.textContent && text.checkVisibility());
  for (const text of drawn) {
    const box = text.getBoundingClientRect(), body = text.closest(".unit")?.querySelector("rect");
    if (!within(box, text.ownerSVGElement.getBoundingClientRect())) add("outside its drawing", text);
    if (body && !within(box, body.getBoundingClientRect())) add("outside its box", text);
    for (const other of text.closest("g")?.querySelectorAll("text") ?? [])
      if (other !== text && other.textContent && meet(box, other.getBoundingClientRect())) add("over another", text);
  }
  for (const element of document.querySelectorAll("main *:not(svg *)")) {
    const style = getComputedStyle(element), room = element.clientWidth, wide = room && element.scrollWidth > room + 1;
    if (wide && element.checkVisibility() && style.overflowX !== "auto" && style.display !== "inline")
      add("wider than its room", element);
  }
  return found;
}"""
"""JavaScript that lists texts that do not lie in their drawings and boxes, and what is wider than its place."""


@contextmanager
def browser():
    """A browser; the test is skipped where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install '.[dev]'")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"none of {', '.join(NAMES)} is on PATH (Debian: apt install chromium)")
    # Chromium's sandbox does not bear a superuser, such as CI's.
    with api.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=path, chromium_sandbox=os.getuid() != 0)
        yield running
        running.close()


def opened(running, address, width=1280, scheme="light", **more):
    """A page at this width; errors of its scripts fail the test that closes it."""
    page = running.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme, **more)
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(address)
    return page
