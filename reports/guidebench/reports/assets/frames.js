// Pictures of all schemes from the same seeds: flip one to another, and mark one seed in all.
(() => {
  "use strict";

  function start(container) {
    const buttons = [...container.querySelectorAll("button.frame")];
    const pictures = buttons.map((b) => b.querySelector("img"));
    const originals = pictures.map((p) => ({ src: p.src, title: p.alt }));
    const titles = buttons.map((b) => b.dataset.title);
    const select = container.querySelector("[data-reference]");
    const count = buttons.length;
    const state = buttons.map(() => ({ pinned: false, hover: false, step: 0 }));

    // The picture that others flip to flips to its neighbour.
    const target = (own) => {
      const reference = Number(select.value);
      return reference === own ? (own + 1) % count : reference;
    };

    function show(own) {
      const { pinned, hover, step } = state[own];
      const flipped = pinned || hover;
      const index = step ? (own + step + count) % count : flipped ? target(own) : own;
      pictures[own].src = originals[index].src;
      pictures[own].alt = originals[index].title;
      buttons[own].setAttribute("aria-pressed", String(pinned || step !== 0));
      buttons[own].classList.toggle("flipped", index !== own);
      const label = buttons[own].parentElement.querySelector(".shown");
      label.textContent = index === own ? "" : `now showing: ${titles[index]}`;
    }

    buttons.forEach((button, own) => {
      const one = state[own];
      button.addEventListener("pointerenter", (event) => {
        if (event.pointerType !== "mouse") return;
        one.hover = true;
        show(own);
      });
      button.addEventListener("pointerleave", () => {
        one.hover = false;
        container.classList.remove("pointing");
        show(own);
      });
      button.addEventListener("click", () => {
        one.pinned = one.step ? false : !one.pinned;
        one.step = 0;
        show(own);
      });
      button.addEventListener("keydown", (event) => {
        const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (way === undefined) return;
        event.preventDefault();
        one.step = (one.step + way + count) % count;
        show(own);
      });
      button.addEventListener("pointermove", (event) => mark(button, event));
    });
    select.addEventListener("change", () => buttons.forEach((_, own) => show(own)));

    function mark(button, event) {
      const { across, down } = button.dataset;
      if (across === "0") return;
      const box = button.getBoundingClientRect();
      const place = (at, size, cells) =>
        Math.min(cells - 1, Math.max(0, Math.floor((at / size) * cells)));
      const column = place(event.clientX - box.left, box.width, across);
      const row = place(event.clientY - box.top, box.height, down);
      container.style.setProperty("--left", `${(100 * column) / across}%`);
      container.style.setProperty("--top", `${(100 * row) / down}%`);
      container.style.setProperty("--wide", `${100 / across}%`);
      container.style.setProperty("--tall", `${100 / down}%`);
      container.classList.add("pointing");
    }
  }

  document.querySelectorAll("[data-frames]").forEach(start);
})();
