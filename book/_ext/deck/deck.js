/* Arrow keys, Page Up and Down, Space, Home and End turn slides; d changes the colours. */
(() => {
  const slides = [...document.querySelectorAll(".slide")];
  const root = document.documentElement;
  const count = document.getElementById("count");
  let at = -1;

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => (root.dataset.theme = dark.matches ? "dark" : "light");
  const turn = () => (root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark");
  follow();
  dark.addEventListener("change", follow);

  function show(to) {
    to = Math.max(0, Math.min(slides.length - 1, to));
    if (to === at) return;
    at = to;
    slides.forEach((slide, i) => slide.classList.toggle("shown", i === at));
    count.textContent = `${at + 1} / ${slides.length}`;
    history.replaceState(null, "", `#${at + 1}`);
  }

  /* Shrink what is too long for its slide. */
  function fit() {
    for (const slide of slides) {
      const body = slide.querySelector(".body");
      for (let size = 1; size >= 0.4; size -= 0.04) {
        slide.style.setProperty("--fit", size.toFixed(2));
        const over = Math.max(
          slide.scrollHeight - slide.clientHeight,
          body.scrollHeight - body.clientHeight,
        );
        if (over <= 1) break;
      }
    }
  }

  const moves = {
    ArrowRight: () => at + 1, ArrowDown: () => at + 1, PageDown: () => at + 1, " ": () => at + 1,
    ArrowLeft: () => at - 1, ArrowUp: () => at - 1, PageUp: () => at - 1,
    Home: () => 0, End: () => slides.length - 1,
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    /* A slider, a list or a button keeps its own keys. */
    if (event.target.closest("input, select, textarea")) return;
    if (event.key === " " && event.target.closest("button, a")) return;
    if (event.key === "d") turn();
    else if (moves[event.key]) show(moves[event.key]());
    else return;
    event.preventDefault();
  });
  document.getElementById("back").onclick = () => show(at - 1);
  document.getElementById("on").onclick = () => show(at + 1);
  document.getElementById("colours").onclick = turn;
  window.addEventListener("hashchange", () => show(Number(location.hash.slice(1)) - 1 || 0));

  show(Number(location.hash.slice(1)) - 1 || 0);
  const content = "svg, canvas, table, img, pre";
  const drawn = () =>
    [...document.querySelectorAll(".chart")].every((chart) => chart.querySelector(content));
  const settle = async () => {
    while (!drawn()) await new Promise((resolve) => setTimeout(resolve, 100));
    fit();
  };
  window.addEventListener("load", () => {
    const typeset = window.MathJax && MathJax.startup ? MathJax.startup.promise : settle();
    typeset.then(settle).then(() => (root.dataset.ready = "yes"));
    window.addEventListener("resize", fit);
  });
})();
