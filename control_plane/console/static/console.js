// What is more pleasant with a script. Every page works without it.

const dates = new Intl.DateTimeFormat(undefined, {
  dateStyle: "medium", timeStyle: "short",
});
const zone = new Intl.DateTimeFormat(undefined, {timeZoneName: "short"})
  .formatToParts(new Date()).find((part) => part.type === "timeZoneName").value;

/** Show each time in the reader's zone, with UTC beside it. */
function localise(root) {
  for (const each of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(each.dateTime);
    if (Number.isNaN(moment.valueOf())) continue;
    const utc = document.createElement("span");
    utc.className = "utc";
    utc.textContent = each.textContent;
    each.replaceChildren(`${dates.format(moment)} ${zone}`, " ", utc);
  }
}

/** Have each `data-copy` button copy the text of the element that it names. */
function addCopying(root) {
  for (const button of root.querySelectorAll("button[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const copied = document.getElementById(button.dataset.copy);
      await navigator.clipboard.writeText(copied.value ?? copied.textContent);
      button.textContent = "Copied";
    });
  }
}

if (new Date().getTimezoneOffset() !== 0) localise(document);
addCopying(document);
