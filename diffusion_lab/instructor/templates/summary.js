const button = document.getElementById("save"), note = document.getElementById("unsaved");
const quoted = text => '"' + (/^'*(\s*[=+\-@＝＋－＠]|[\t\r])/.test(text) ? "'" : "") + text.replaceAll('"', '""') + '"';
const columns = JSON.parse(button.dataset.columns);
const cell = (work, column) => column === "key" ? work.dataset.key : work.querySelector(`[name="${column}"]`)?.value ?? "";
const table = () => "\ufeff" + columns.join(",") + "\n" + [...document.querySelectorAll(".work")].map(work =>
  columns.map(column => quoted(cell(work, column))).join(",") + "\n").join("");
let saved = table();
document.addEventListener("input", () => { note.hidden = table() === saved; });
window.addEventListener("beforeunload", event => {
  if (table() !== saved) { event.preventDefault(); event.returnValue = true; }
});
button.onclick = () => {
  const link = document.createElement("a");
  saved = table();
  link.href = URL.createObjectURL(new Blob([saved], {type: "text/csv"}));
  link.download = "manual.csv";
  link.click();
  note.hidden = true;
};
