// The page's elements. Whatever comes from outside is set as text, never as markup, and only where it has changed: an
// unchanged page costs the browser nothing.

export const find = (id) => document.getElementById(id);

export function element(tag, { text, name, ...attributes } = {}, ...children) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  for (const [key, value] of Object.entries(attributes)) mark(made, key, value);
  made.append(...children);
  return made;
}

export function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Sets a sentence in which `…` is what somebody types. */
export function tell(node, sentence) {
  if (node.told === sentence) return;
  node.told = sentence;
  const parts = sentence.split("`");
  const whole = parts.length % 2 ? parts : [sentence]; // a single one is no pair
  node.replaceChildren(...whole.map((part, index) => (index % 2 ? element("code", { text: part }) : part)));
}

/** Sets an attribute, or takes it away where `value` is null or false. */
export function mark(node, key, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(key)) node.removeAttribute(key);
  } else if (node.getAttribute(key) !== String(value)) {
    node.setAttribute(key, String(value));
  }
}

export function show(node, shown) {
  if (node.hidden === shown) node.hidden = !shown;
}

/** Keeps one child for each item, in their order. A child lives as long as its key does; `update` fills it. */
export function keep(parent, items, { key, make, update }) {
  const there = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, index) => {
    const name = String(key(item));
    let child = there.get(name);
    if (!child) {
      child = make(item);
      child.dataset.key = name;
    }
    there.delete(name);
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
    update(child, item);
  });
  while (parent.children.length > items.length) parent.lastElementChild.remove();
}

/** A table's rows: `cells` gives the texts of an item, in the order of the columns. Looks are those of the heads. */
export function rows(table, items, { key, cells }) {
  const names = [...table.tHead.rows[0].cells].map((cell) => cell.className);
  keep(table.tBodies[0], items, {
    key,
    make: () => {
      const row = element("tr");
      names.forEach((name, index) => row.append(index ? element("td", { name }) : element("th", { name, scope: "row" })));
      return row;
    },
    update: (row, item) => cells(item).forEach((text, index) => put(row.cells[index], text)),
  });
}
