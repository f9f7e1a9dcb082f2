// Whether a page can be read: nothing is wider than the window, no text is squeezed into a column of letters, and every
// text stands out from what is behind it.

/** The least contrast of a text; WCAG asks for it. */
const CONTRAST = 4.5;

/** What cannot be read on an open page, as sentences. Opens what is folded. */
export async function unreadable(page) {
  const { width } = page.viewportSize();
  return page.evaluate(find, { width, least: CONTRAST });
}

// Runs in the page.
function find({ width, least }) {
  for (const details of document.querySelectorAll("details")) details.open = true;
  const wrong = [];
  // Not the window's own width: on a phone that grows with what is too wide.
  const wide = document.documentElement.scrollWidth;
  if (wide > width) wrong.push(`it is ${wide} wide in ${width}`);
  const rgba = (colour) => {
    const [red, green, blue, alpha = 1] = colour.match(/[\d.]+/g).map(Number);
    return [red, green, blue, alpha];
  };
  const over = ([red, green, blue, alpha], below) => {
    const mix = (one, index) => one * alpha + below[index] * (1 - alpha);
    return [...[red, green, blue].map(mix), 1];
  };
  const behind = (element) => {
    const colour = rgba(getComputedStyle(element).backgroundColor);
    if (colour[3] === 1 || !element.parentElement) return colour;
    return over(colour, behind(element.parentElement));
  };
  const light = (colour) => {
    const [red, green, blue] = colour
      .map((value) => value / 255)
      .map((value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const look = (element, colour, text) => {
    const ground = behind(element);
    const lights = [light(over(rgba(colour), ground)), light(ground)];
    const contrast = (Math.max(...lights) + 0.05) / (Math.min(...lights) + 0.05);
    if (contrast < least) wrong.push(`"${text.trim().slice(0, 30)}" has a contrast of ${contrast.toFixed(2)}`);
  };
  for (const element of document.body.querySelectorAll("*")) {
    const style = getComputedStyle(element);
    const own = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
    const text = own.map((node) => node.textContent).join("");
    const isInSvg = element instanceof SVGElement;
    // The title of a picture's part is shown by the browser, in its own colours.
    if (text.trim() && element.tagName !== "title") look(element, isInSvg ? style.fill : style.color, text);
    const before = getComputedStyle(element, "::before");
    if (/[^\s"]/.test(before.content.replace(/^(none|normal)$/, ""))) look(element, before.color, before.content);
    // These are for screen readers alone, the second on a phone.
    const isSeen = !isInSvg && !element.closest("caption,thead");
    for (const node of !isSeen ? [] : own.filter((node) => node.textContent.trim().length > 3)) {
      const range = document.createRange();
      range.selectNodeContents(node);
      const lines = new Set([...range.getClientRects()].map(({ top }) => Math.round(top))).size;
      if (lines > 2 && node.textContent.trim().length / lines < 5)
        wrong.push(`"${node.textContent.trim().slice(0, 30)}" is squeezed into ${lines} lines`);
    }
    if (element.placeholder) look(element, getComputedStyle(element, "::placeholder").color, element.placeholder);
  }
  return [...new Set(wrong)];
}
