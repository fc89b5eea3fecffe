// Pictures enlarge on a click; without this script they are simply as they are.
for (const hint of document.querySelectorAll(".with-script")) hint.hidden = false;
for (const part of document.querySelectorAll(".part")) {
  const strip = part.querySelector(".strip");
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Enlarge";
  button.setAttribute("aria-pressed", "false");
  const toggle = () => {
    const large = strip.classList.toggle("large");
    button.textContent = large ? "Reduce" : "Enlarge";
    button.setAttribute("aria-pressed", String(large));
  };
  strip.classList.add("zoom");
  strip.addEventListener("click", toggle);
  button.addEventListener("click", toggle);
  part.querySelector("figcaption").prepend(button);
}
