// Pictures enlarge on a click; without this script they are simply as they are.
for (const hint of document.querySelectorAll(".with-script")) hint.hidden = false;
for (const strip of document.querySelectorAll(".strip")) {
  strip.classList.add("zoom");
  strip.tabIndex = 0;
  strip.setAttribute("role", "button");
  strip.setAttribute("aria-label", "Enlarge the pictures");
  strip.setAttribute("aria-pressed", "false");
  const toggle = () => {
    strip.setAttribute("aria-pressed", String(strip.classList.toggle("large")));
  };
  strip.addEventListener("click", toggle);
  strip.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      toggle();
    }
  });
}
