"use strict";

// A cell's number, of which ratios (`7/8`) and thousands (`1,234`) are some; NaN for a word.
function number(text) {
  const found = text.replaceAll(",", "").match(/^([-+]?[\d.]+(?:e[-+]?\d+)?)(?:\/(\d+))?/);
  return found ? Number(found[1]) / Number(found[2] ?? 1) : NaN;
}

function compare(one, other) {
  const numbers = [number(one), number(other)];
  if (!numbers.some(Number.isNaN)) return numbers[0] - numbers[1];
  return one.localeCompare(other, "en", { numeric: true });
}

// Cells without a value stay at the end, whichever way the others go.
function sort(table, column, heading) {
  const ascending = heading.getAttribute("aria-sort") !== "ascending";
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => [row.cells[column].textContent.trim(), row]);
  const isEmpty = (text) => text === "" || text === "-";
  rows.sort(([one], [other]) =>
    isEmpty(one) || isEmpty(other)
      ? isEmpty(one) - isEmpty(other)
      : (ascending ? 1 : -1) * compare(one, other));
  body.append(...rows.map(([, row]) => row));
  for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
}

for (const table of document.querySelectorAll("table")) {
  if (table.tBodies[0].rows.length < 2) continue;
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent;
    button.addEventListener("click", () => sort(table, column, heading));
    heading.replaceChildren(button);
  });
}

// Where a browser gives a page from the disk no clipboard, the line is at least selected.
async function copy(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    return "Copied";
  } catch {
    getSelection().selectAllChildren(code);
    return document.execCommand("copy") ? "Copied" : "Selected";
  }
}

for (const command of document.querySelectorAll(".command")) {
  const button = document.createElement("button");
  const what = command.querySelector("p").textContent;
  button.type = "button";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy: ${what}`);
  button.addEventListener("click", async () => {
    button.textContent = await copy(command.querySelector("code"));
    document.getElementById("status").textContent = `${button.textContent}: ${what}`;
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  command.append(button);
}
