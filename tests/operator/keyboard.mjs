// Whether a page can be used with the keyboard alone: Tab goes through everything that can be pressed or filled in,
// from the top to the bottom, and each shows that it is focused.

/** What Tab gets wrong on an open page, as sentences. */
export async function untabbable(page) {
  const wanted = await page.evaluate(pressable);
  const wrong = wanted.length >= 10 ? [] : [`only ${wanted.length} can be focused`];
  let before = { bottom: 0, top: 0 };
  for (const name of wanted) {
    await page.keyboard.press("Tab");
    const now = await page.evaluate(focused);
    if (now.name !== name) return [...wrong, `Tab leads to ${now.name}, not to ${name}`];
    if (now.bottom < before.top) wrong.push(`Tab goes up to ${name}`);
    if (now.outline !== "solid" || now.width < 2) wrong.push(`nobody sees that ${name} is focused`);
    before = now;
  }
  return wrong;
}

// These run in the page.
function pressable() {
  const all = document.querySelectorAll("a[href],button,input:not([type=hidden]),summary");
  return [...all].filter((one) => one.checkVisibility()).map((one, index) => {
    one.dataset.tab = `${index}: ${one.tagName} ${(one.textContent || one.name).trim()}`;
    return one.dataset.tab;
  });
}

function focused() {
  const one = document.activeElement;
  const { bottom, top } = one.getBoundingClientRect();
  const { outlineStyle, outlineWidth } = getComputedStyle(one);
  const scrolled = window.scrollY;
  return {
    bottom: bottom + scrolled,
    name: one.dataset.tab ?? one.tagName,
    outline: outlineStyle,
    top: top + scrolled,
    width: parseFloat(outlineWidth),
  };
}
