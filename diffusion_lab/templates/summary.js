const button = document.getElementById("save");
const quoted = text => '"' + (/^'*(\s*[=+\-@＝＋－＠]|[\t\r])/.test(text) ? "'" : "") + text.replaceAll('"', '""') + '"';
if (button) button.onclick = () => {
  const lines = [...document.querySelectorAll(".work")].map(work =>
    [work.dataset.key, work.querySelector(".points").value, work.querySelector(".comment").value].map(quoted).join(","));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(["\ufeffkey,points,comment\n" + lines.join("\n") + "\n"], {type: "text/csv"}));
  link.download = "manual.csv";
  link.click();
};
