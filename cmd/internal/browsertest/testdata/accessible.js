// What of a page a person who doesn't see it, or has no mouse, can't use. Each rule is named as in axe-core.
(() => {
  const wrong = []
  const say = (rule, element) => wrong.push(`${rule}: ${element.outerHTML.slice(0, 120)}`)
  const all = selector => [...document.querySelectorAll(selector)]
  const named = e => (e.getAttribute("aria-label") ?? "") + e.textContent + (e.title ?? "")
  if (!document.documentElement.lang) wrong.push("html-has-lang")
  if (!document.title.trim()) wrong.push("document-title")
  if (!document.querySelector("meta[name=viewport]")) wrong.push("meta-viewport")
  if (/user-scalable=no|maximum-scale=1\b/.test(document.querySelector("meta[name=viewport]")?.content)) wrong.push("meta-viewport: no zoom")
  if (all("main").length !== 1) wrong.push("landmark-one-main")
  if (all("h1").length !== 1) wrong.push("page-has-heading-one")
  if (!document.querySelector("a.skip[href='#content']") || !document.getElementById("content")) wrong.push("bypass")
  let level = 0
  for (const heading of all("h1, h2, h3, h4")) {
    const own = Number(heading.tagName[1])
    if (own > level + 1) say("heading-order", heading)
    if (!heading.textContent.trim()) say("empty-heading", heading)
    level = own
  }
  const ids = all("[id]").map(e => e.id)
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) wrong.push(`duplicate-id: ${id}`)
  for (const link of all("a[href]")) if (!named(link).trim()) say("link-name", link)
  for (const button of all("button")) if (!named(button).trim()) say("button-name", button)
  for (const field of all("input:not([type=hidden]), select, textarea")) {
    if (!field.labels?.length && !field.getAttribute("aria-label")) say("label", field)
  }
  for (const image of all("svg")) {
    if (image.getAttribute("aria-hidden") !== "true" && !(/^(img|group)$/.test(image.getAttribute("role")) && image.getAttribute("aria-label"))) say("svg-img-alt", image)
  }
  for (const table of all("table")) {
    if (table.tBodies[0]?.rows.length > 1 && !table.querySelector("th[scope=col]")) say("td-has-header", table)
    const columns = table.tHead?.rows[0]?.cells.length
    for (const row of table.tBodies[0]?.rows ?? []) {
      const cells = [...row.cells].reduce((n, c) => n + c.colSpan, 0)
      if (columns && cells !== columns) say(`table-columns (${cells} of ${columns})`, row)
    }
  }
  for (const list of all("ul, ol")) for (const child of list.children) if (child.tagName !== "LI") say("list", child)
  for (const list of all("dl")) for (const child of list.children) if (!/^(DT|DD)$/.test(child.tagName)) say("definition-list", child)
  for (const e of all("[tabindex]")) if (Number(e.getAttribute("tabindex")) > 0) say("tabindex", e)
  for (const e of all("[aria-sort]")) if (!["ascending", "descending", "none", "other"].includes(e.getAttribute("aria-sort"))) say("aria-valid-attr-value", e)
  // A target of a finger is as large as WCAG 2.2 asks, or has room around it; links within a text are exempt.
  for (const e of all("button, nav a, .tabs a")) {
    const box = e.getBoundingClientRect()
    if (box.width && (box.height < 24 || box.width < 24)) say("target-size", e)
  }
  return wrong
})()
