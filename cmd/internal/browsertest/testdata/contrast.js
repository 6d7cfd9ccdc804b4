// The contrast of each text of the page with what is painted behind it, as WCAG 2 defines it, and the luminance of the page's own background.
(() => {
  const parse = color => {
    const [, r, g, b, alpha] = color.match(/^rgba?\((\d+), (\d+), (\d+)(?:, ([\d.]+))?\)$/)
    return { rgb: [r, g, b].map(Number), alpha: alpha === undefined ? 1 : Number(alpha) }
  }
  const over = (top, below) => top.rgb.map((c, i) => c * top.alpha + below[i] * (1 - top.alpha))
  const luminance = rgb => {
    const [r, g, b] = rgb.map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const canvas = (() => {
    const probe = document.body.appendChild(document.createElement("i"))
    probe.style.color = "Canvas"
    const { rgb } = parse(getComputedStyle(probe).color)
    probe.remove()
    return rgb
  })()
  const behind = element => element ? over(parse(getComputedStyle(element).backgroundColor), behind(element.parentElement)) : canvas
  const texts = []
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (walker.nextNode()) {
    const text = walker.currentNode.data.trim()
    const element = walker.currentNode.parentElement
    if (text === "" || !element.checkVisibility()) continue
    const background = behind(element)
    const [dark, light] = [luminance(over(parse(getComputedStyle(element).color), background)), luminance(background)].sort((a, b) => a - b)
    texts.push({ text, wrong: element.closest(".wrong") !== null, contrast: (light + 0.05) / (dark + 0.05) })
  }
  return { background: luminance(behind(document.body)), texts }
})()
