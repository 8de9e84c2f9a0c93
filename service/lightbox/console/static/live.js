// Brings the parts marked data-live up to date every three seconds, without moving the focus.
"use strict";
(() => {
  const button = document.getElementById("pause");
  let paused = false;
  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.setAttribute("aria-pressed", String(paused));
  });

  const last = new Map();
  const changed = (part, now) => {
    const was = last.get(part.id) ?? part.innerHTML;
    last.set(part.id, now.innerHTML);
    return was !== now.innerHTML;
  };

  const refresh = async () => {
    if (paused || document.hidden) return;
    try {
      const answer = await fetch(location.href, { redirect: "error" });
      if (!answer.ok) throw new Error(answer.status);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of document.querySelectorAll("[data-live]")) {
        const now = fresh.getElementById(part.id);
        if (now && !part.contains(document.activeElement) && changed(part, now)) {
          const open = [...part.querySelectorAll("details")].map((each) => each.open);
          part.innerHTML = now.innerHTML;
          part.querySelectorAll("details").forEach((each, at) => { each.open = open[at] ?? false; });
        }
      }
      document.body.classList.remove("stale");
    } catch {
      document.body.classList.add("stale");
    }
  };
  setInterval(refresh, 3000);
})();
