// Pages are whole without this. It searches while one types, lets values follow by server-sent
// events while the page is looked at, and listens to a few keys.
"use strict"
{
  const region = () => document.querySelector("[data-live]")
  let asking = null

  // replace asks for an address and puts its part that lives in place of the one that is shown.
  const replace = async (address, keep) => {
    asking?.abort()
    const own = (asking = new AbortController())
    try {
      const answer = await fetch(address, { signal: own.signal, headers: { Accept: "text/html" } })
      if (!answer.ok) return
      const page = new DOMParser().parseFromString(await answer.text(), "text/html")
      const fresh = page.querySelector("[data-live]")
      const shown = region()
      if (!fresh || !shown || own.signal.aborted || (keep && busy())) return
      shown.replaceChildren(...fresh.childNodes)
    } catch (problem) {
      if (problem.name !== "AbortError") document.documentElement.dataset.offline = "true"
    }
  }

  // busy says that a person is at the part that would be replaced.
  const busy = () =>
    String(getSelection()) !== "" || region()?.contains(document.activeElement) || region()?.querySelector("details[open]")

  const form = document.querySelector("form.filters")
  if (form) {
    let pause
    form.addEventListener("input", () => {
      clearTimeout(pause)
      pause = setTimeout(() => {
        const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""))
        const address = form.getAttribute("action") + (query.size ? "?" + query : "")
        history.replaceState(null, "", address)
        replace(address, false)
        follow()
      }, 250)
    })
  }

  const live = document.getElementById("live")
  let source = null
  let following = sessionStorage.getItem("live") !== "off"
  let lost = false

  // show says whether values follow.
  const show = () => {
    live.textContent = !following ? "Not following" : lost ? "Not connected" : "Following"
    live.setAttribute("aria-pressed", String(following))
  }

  // follow has the server send what changes, as long as the page is in front of somebody.
  const follow = () => {
    source?.close()
    source = null
    if (!following || document.hidden || !region()?.dataset.live) return
    const own = (source = new EventSource(region().dataset.live + "?of=" + encodeURIComponent(region().dataset.path + location.search)))
    own.onmessage = event => {
      if (own !== source || busy()) return
      region().replaceChildren(...new DOMParser().parseFromString(event.data, "text/html").body.childNodes)
    }
    own.onopen = () => {
      if (own !== source) return
      lost = false
      show()
    }
    own.onerror = () => {
      if (own !== source) return
      lost = true
      show()
      // The browser connects again by itself, unless it was refused: others follow too many pages.
      if (own.readyState === EventSource.CLOSED) setTimeout(() => own === source && follow(), 30000)
    }
  }

  if (live && region()?.dataset.live) {
    live.hidden = false
    live.addEventListener("click", () => {
      following = !following
      sessionStorage.setItem("live", following ? "on" : "off")
      show()
      follow()
    })
    document.addEventListener("visibilitychange", () => {
      if (following && !document.hidden && !busy()) replace(location.href, true)
      follow()
    })
    addEventListener("pageshow", follow)
    addEventListener("pagehide", () => source?.close())
    show()
  }

  addEventListener("keydown", event => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName ?? "")) return
    const search = document.querySelector("input[type=search]")
    if (!search) return
    event.preventDefault()
    search.focus()
    search.select()
  })
}
