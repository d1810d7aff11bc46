"use strict";
// The tables are in the page already. This sorts, filters and opens them; names are untrusted and
// only ever become text nodes.
const all = (selector, from = document) => [...from.querySelectorAll(selector)];
const sections = all("section");
const dialog = document.getElementById("detail");
let state;
let loaded;

// Records and CSV lie compressed in the page; they are read when first asked for.
function data() {
  const bytes = () => Uint8Array.from(atob(document.getElementById("data").textContent), (c) => c.charCodeAt(0));
  const stream = () => new Blob([bytes()]).stream().pipeThrough(new DecompressionStream("gzip"));
  loaded ??= new Response(stream()).json();
  return loaded;
}

function element(tag, ...children) {
  const made = document.createElement(tag);
  made.append(...children.filter((child) => child !== null));
  return made;
}

function set(changes) {
  for (const [name, value] of Object.entries(changes)) {
    if (value) state.set(name, value);
    else state.delete(name);
  }
  history.replaceState(null, "", "#" + state);
  show();
}

function show() {
  const task = sections.find((s) => s.dataset.task === state.get("task")) ?? sections[0];
  for (const section of sections) section.hidden = section !== task;
  for (const link of all("nav a[href^='#']")) {
    const open = new URLSearchParams(link.getAttribute("href").slice(1)).get("task") === task?.dataset.task;
    link.toggleAttribute("aria-current", open);
  }
  const form = task?.querySelector("form");
  if (form) {
    const metrics = [...form.metric.options].map((option) => option.value);
    form.metric.value = metrics.includes(state.get("metric")) ? state.get("metric") : metrics[0];
    if (form.setting) form.setting.value = state.get("setting") ?? "";
    if (form.filter.value !== (state.get("filter") ?? "")) form.filter.value = state.get("filter") ?? "";
    for (const block of all(".metric", task)) block.hidden = block.dataset.metric !== form.metric.value;
    if (form.elements.dataset) form.elements.dataset.value = state.get("dataset") ?? "";
    for (const block of all(".metric", task)) {
      for (const setting of all(".setting", block)) {
        const { setting: name, datasets } = setting.dataset;
        const elsewhere = Boolean(form.setting?.value) && name !== form.setting.value;
        const without = Boolean(form.elements.dataset?.value) && !JSON.parse(datasets).includes(form.elements.dataset.value);
        setting.hidden = elsewhere || without;
        if (!block.hidden && !setting.hidden) all("table.board", setting).forEach(arrange);
      }
    }
  }
  openMethod(task?.dataset.task);
}

function nextOrder(th) {
  const opposite = { ascending: "descending", descending: "ascending" };
  return opposite[th.getAttribute("aria-sort")] ?? th.dataset.first ?? "ascending";
}

function arrange(table) {
  prepare(table);
  const [column, order] = (state.get("sort") ?? "").split(":");
  const heads = all("thead th", table);
  const chosen = heads.find((th) => th.dataset.name === column);
  for (const th of heads) th.removeAttribute("aria-sort");
  (chosen ?? heads[1]).setAttribute("aria-sort", order ?? "ascending");
  const index = heads.indexOf(chosen);
  const key = (row) => (index ? Number(row.cells[index].dataset.sort) : row.dataset.method);
  const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
  const sign = order === "descending" ? -1 : 1;
  const rows = [...table.tBodies[0].rows];
  if (!chosen) rows.sort((a, b) => a.dataset.place - b.dataset.place);
  else
    rows.sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      return (x === Infinity) - (y === Infinity) || sign * compare(x, y) || a.dataset.place - b.dataset.place;
    });
  table.tBodies[0].append(...rows);
  const words = (state.get("filter") ?? "").toLowerCase().split(/\s+/);
  const dataset = state.get("dataset") ?? "";
  const other = heads.map((th) => Boolean(dataset && th.dataset.dataset && th.dataset.dataset !== dataset));
  if (table.dataset.only !== dataset)
    for (const row of table.rows) [...row.cells].forEach((cell, i) => (cell.hidden = other[i]));
  table.dataset.only = dataset;
  for (const row of rows) row.hidden = !words.every((word) => row.dataset.method.toLowerCase().includes(word));
}

async function openMethod(task) {
  const method = state.get("method");
  if (!method) return dialog.close();
  const found = (await data()).records;
  if (state.get("method") !== method) return;
  const records = found.filter((r) => r.task === task && r.method === method);
  if (!records.length) return dialog.close();
  const close = element("button", "Close");
  close.className = "close";
  close.onclick = () => dialog.close();
  const title = element("h2", method);
  title.id = "detail-title";
  const groups = new Map();
  for (const r of records) {
    const name = [r.dataset, r.model, r.setting].join(" · ");
    groups.set(name, [...(groups.get(name) ?? []), r]);
  }
  const version = "version " + [...new Set(records.map((r) => r.method_version))].join(", ");
  dialog.replaceChildren(close, title, element("p", `${task}, ${version}, ${records.length} cells`));
  for (const [name, cells] of groups) {
    const part = element("details", element("summary", name), seedTable(cells), ...cells.map(seedRules), ...cells.map(seedWashed), ...cells.map(seedDetails));
    part.open = groups.size < 4 || name === groups.keys().next().value;
    dialog.append(part);
  }
  if (!dialog.open) dialog.showModal();
}

function seedTable(records) {
  const metrics = [...new Set(records.flatMap((r) => Object.keys(r.scores)))];
  const head = ["seed", "status", ...metrics, "seconds"].map((text) => element("th", text));
  const rows = records.map((r) => {
    const values = metrics.map((metric) => {
      const { value, note } = r.scores[metric] ?? {};
      return element("td", shortened(value), note ? element("small", note) : null);
    });
    return element("tr", element("td", String(r.seed)), element("td", r.status), ...values, element("td", shortened(r.seconds.explain)));
  });
  return scrolled(head, rows);
}

function scrolled(head, rows, kind = "") {
  const table = element("table", element("thead", element("tr", ...head)), element("tbody", ...rows));
  table.className = kind;
  const box = element("div", table);
  box.className = "scroll";
  return box;
}

// A companion's list: who decides after each rule, and how much is right.
function seedRules(r) {
  if (!r.rule_list) return null;
  const percent = (share) => `${Math.round(100 * share)} %`;
  const head = ["", "rule", "then", "T", "accuracy", "black box"].map((text) => element("th", text));
  const rows = r.rule_list.steps.map((step, place) => {
    const rule = element("td", element("b", step.lead), " ", step.condition);
    const numbers = [percent(step.transparency), step.accuracy.toFixed(3), percent(1 - step.transparency)];
    return element("tr", element("td", String(place)), rule, element("td", step.label), ...numbers.map((text) => element("td", text)));
  });
  return element("details", element("summary", `seed ${r.seed}: rule list`), scrolled(head, rows, "rules"), element("p", r.rule_list.foot));
}

// A washed model beside the honest one, and what an auditor sees of both.
function seedWashed(r) {
  if (!r.washed) return null;
  const { columns, places, rows, honest, washed } = r.washed;
  const head = ["", ...columns.flatMap((name) => places.map((place) => `${name}, ${place}`))].map((text) => element("th", text));
  const lines = rows.map(({ name, numbers }) => element("tr", ...[name, ...numbers].map((text) => element("td", text))));
  const models = { honest, washed };
  const texts = Object.entries(models).flatMap(([name, text]) => (text.length ? [element("p", element("b", name)), element("pre", text.join("\n"))] : []));
  return element("details", element("summary", `seed ${r.seed}: washed model`), scrolled(head, lines, "washed"), ...texts);
}

function seedDetails(r) {
  const facts = {
    reason: r.reason, ...r.settings, started: r.started, device: r.device, hardware: r.hardware, commit: r.commit,
    seconds: listed(r.seconds), calls: listed(r.calls), "peak memory": r.peak_memory && `${(r.peak_memory / 2 ** 20).toFixed(1)} MiB`, key: r.key,
  };
  const list = element("dl");
  for (const [name, value] of Object.entries(facts))
    if (value !== null && value !== "") list.append(element("dt", name), element("dd", String(value)));
  const copy = element("button", "Copy");
  copy.onclick = () => navigator.clipboard.writeText(r.command).then(() => (copy.textContent = "Copied"));
  return element("details", element("summary", `seed ${r.seed}: setting and command`), list, element("pre", r.command), copy);
}

const shortened = (value) => (typeof value === "number" ? String(Number(value.toPrecision(4))).replace("-", "−") : "–");
const listed = (map) => Object.entries(map).map(([name, value]) => `${name} ${shortened(value)}`).join(", ");

function wrap(cell, action) {
  const button = element("button", ...cell.childNodes);
  button.type = "button";
  button.onclick = action;
  cell.replaceChildren(button);
}

// A table is made clickable when it is first shown: a page may hold hundreds.
function prepare(table) {
  if (table.dataset.prepared) return;
  table.dataset.prepared = "yes";
  [...table.tBodies[0].rows].forEach((row, place) => {
    row.dataset.place = place;
    wrap(row.cells[0], () => set({ method: row.dataset.method }));
  });
  for (const th of all("thead th:not(.bars)", table)) {
    th.dataset.name = th.textContent.trim();
    wrap(th, () => set({ sort: `${th.dataset.name}:${nextOrder(th)}` }));
  }
}
for (const form of all("form")) {
  form.hidden = false;
  form.onsubmit = () => false;
  form.oninput = (event) => set({ [event.target.name]: event.target.value });
}
for (const block of all("details.metric, details.more")) block.open = true;
for (const link of all("nav a[href^='#']"))
  link.onclick = () => {
    state = new URLSearchParams(link.getAttribute("href").slice(1));
    set({});
    scrollTo(0, 0);
    return false;
  };
const csv = document.getElementById("csv");
csv.onclick = (event) => {
  if (csv.href.startsWith("blob:")) return;
  event.preventDefault();
  data().then((found) => {
    csv.href = URL.createObjectURL(new Blob([found.csv], { type: "text/csv" }));
    csv.click();
  });
};
dialog.onclose = () => set({ method: "" });
dialog.onclick = (event) => {
  if (event.target === dialog) dialog.close();
};
function load() {
  state = new URLSearchParams(location.hash.slice(1));
  show();
}
onhashchange = load;
document.documentElement.classList.add("js");
load();
