// Brings the parts marked data-live up to date every three seconds: only what has changed is
// touched, so focus, selection, scrolling and open details stay; data-news is read out politely.
"use strict";
(() => {
  const EVERY = 3000;
  const button = document.getElementById("pause");
  const news = document.getElementById("news");
  let paused = false;

  const clean = new URL(location.href);
  if (clean.searchParams.has("notice")) {
    clean.searchParams.delete("notice");
    history.replaceState(null, "", clean);
    document.getElementById("notice")?.focus();
  }

  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.setAttribute("aria-pressed", String(paused));
  });

  const isKept = (node, name) => name === "open" && node.nodeName === "DETAILS";

  const attributes = (old, now) => {
    for (const { name } of [...old.attributes]) {
      if (!now.hasAttribute(name) && !isKept(old, name)) old.removeAttribute(name);
    }
    for (const { name, value } of now.attributes) {
      if (!isKept(old, name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
  };

  const alike = (old, now) =>
    old.nodeType === now.nodeType && old.nodeName === now.nodeName && (old.id || "") === (now.id || "");

  const morph = (old, now) => {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== now.nodeValue) old.nodeValue = now.nodeValue;
      return;
    }
    if (old.isEqualNode(now)) return;
    attributes(old, now);
    if (["SELECT", "INPUT", "TEXTAREA"].includes(old.nodeName) && old.matches(":focus, :focus-within")) return;
    const named = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
    let place = old.firstChild;
    for (const next of [...now.childNodes]) {
      const known = next.id && named.get(next.id);
      if (known && known !== place) old.insertBefore(known, place);
      const here = known || place;
      if (here && alike(here, next)) {
        place = here.nextSibling;
        morph(here, next);
      } else {
        old.insertBefore(document.importNode(next, true), place);
      }
    }
    while (place) {
      const after = place.nextSibling;
      place.remove();
      place = after;
    }
  };

  const refresh = async () => {
    if (paused || document.hidden) return;
    try {
      const answer = await fetch(location.href, { redirect: "error", cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const said = [];
      for (const part of document.querySelectorAll("[data-live]")) {
        const now = fresh.getElementById(part.id);
        if (!now) continue;
        if (now.dataset.news && now.dataset.news !== part.dataset.news) said.push(now.dataset.news);
        morph(part, now);
      }
      if (said.length) news.textContent = said.join(" ");
      if (document.title !== fresh.title) document.title = fresh.title;
      document.body.classList.remove("stale");
    } catch {
      document.body.classList.add("stale");
    }
  };
  setInterval(refresh, EVERY);
  document.addEventListener("visibilitychange", refresh);
})();
