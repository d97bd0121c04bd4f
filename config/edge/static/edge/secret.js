// Copies the secret, and wipes it when the page is left, so that going back shows nothing.
"use strict";

for (const button of document.querySelectorAll("[data-copy]")) {
  const source = document.getElementById(button.dataset.copy);
  const note = document.querySelector("[data-copied]");
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(source.textContent);
      note.textContent = "Copied.";
    } catch {
      window.getSelection().selectAllChildren(source);
      note.textContent = "Selected: press Ctrl-C or ⌘-C.";
    }
  });
}

window.addEventListener("pagehide", () => {
  for (const element of document.querySelectorAll("[data-secret]")) {
    element.textContent = "no longer shown";
  }
});
