// A file that is dropped on the field is the field's file; it is sent by the button, as any other.
"use strict";
(() => {
  const zone = document.getElementById("drop");
  const field = document.getElementById("file");
  const over = (event) => {
    event.preventDefault();
    zone.classList.toggle("over", event.type === "dragover");
  };
  for (const kind of ["dragover", "dragleave", "drop"]) zone.addEventListener(kind, over);
  zone.addEventListener("drop", (event) => {
    if (event.dataTransfer.files.length) field.files = event.dataTransfer.files;
    field.focus();
  });
  document.getElementById("answer")?.focus();
})();
