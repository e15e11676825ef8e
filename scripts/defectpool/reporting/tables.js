const cells = (row) => Array.from(row.children);
const value = (cell) => {
  const text = cell.dataset.value ?? cell.textContent;
  const number = Number(text);
  return text.trim() === "" || Number.isNaN(number) ? text : number;
};

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") { return a - b; }
  if (typeof a === "number") { return -1; }  // missing values last
  if (typeof b === "number") { return 1; }
  return a.localeCompare(b, undefined, { numeric: true });
}

function sort(table, column) {
  const heads = cells(table.tHead.rows[0]), head = heads[column];
  const down = head.getAttribute("aria-sort") !== "ascending";
  heads.forEach((one) => one.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "ascending" : "descending");
  const rows = Array.from(table.tBodies[0].rows);
  rows.sort((a, b) => (down ? 1 : -1) * compare(value(a.cells[column]), value(b.cells[column])));
  table.tBodies[0].append(...rows);
}

function filter(table, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of table.tBodies[0].rows) {
    const content = cells(row).map((cell) => cell.textContent.toLowerCase()).join(" ");
    row.hidden = !words.every((word) => content.includes(word));
  }
}

function csv(table) {
  const quoted = (text) => (/[",\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text);
  const rows = [table.tHead.rows[0], ...Array.from(table.tBodies[0].rows).filter((r) => !r.hidden)];
  return rows.map((row) => cells(row).map((c) => quoted(c.textContent.trim())).join(",")).join("\n") + "\n";
}

function download(name, text) {
  const link = document.createElement("a");
  link.href = "data:text/csv;charset=utf-8," + encodeURIComponent(text);
  link.download = name;
  link.click();
}

// Light for low values, darker blue for high ones; the text stays black.
function color(table) {
  for (const cell of table.querySelectorAll("td[data-color]")) {
    const share = Math.max(0, Math.min(1, (Number(cell.dataset.color) - 0.5) / 0.5));
    cell.style.background = `hsl(210 70% ${97 - 27 * share}%)`;
  }
}

// Each table is sorted by a click on a header, filtered by words, and saved as it is shown.
function prepareTables(place) {
  for (const table of place.querySelectorAll("table.data")) {
    color(table);
    cells(table.tHead.rows[0]).forEach((head, column) => {
      head.tabIndex = 0;
      head.title = "sort by this column";
      head.addEventListener("click", () => sort(table, column));
      head.addEventListener("keydown", (event) => { if (event.key === "Enter") { sort(table, column); } });
    });
    const tools = document.createElement("div"), input = document.createElement("input");
    const button = document.createElement("button");
    tools.className = "tools";
    input.type = "search";
    input.placeholder = "filter rows";
    input.setAttribute("aria-label", "filter rows");
    input.addEventListener("input", () => filter(table, input.value));
    button.type = "button";
    button.textContent = "save as CSV";
    button.addEventListener("click", () => download(table.dataset.name + ".csv", csv(table)));
    tools.append(input, button);
    table.parentElement.before(tools);
  }
}

// Links to other pages lead there where this page lies at its own place, not inside an archive.
function showLinks(place) {
  document.querySelector("nav").hidden = !location.pathname.endsWith(place);
}
