// What the kernel cannot see: which mouse button, the pointer outside the canvas, the screen's pixels, the focus, files
// too large to send. `style` is an element inside the widget. News for the kernel go to the canvas as a key with a name.
((style, limit) => {
  const root = style.closest('.gooddrag-picker');
  if (!root || root.gooddrag) return;
  root.gooddrag = true;
  const canvas = () => root.querySelector('canvas');
  const on = (name, act) => root.addEventListener(name, e => e.target === canvas() && act(e), true);
  const tell = news => canvas().dispatchEvent(new KeyboardEvent('keydown', { key: news }));
  let held = false, shown = '', timer;

  on('mousedown', e => {
    if (e.button) return e.stopPropagation();
    held = true;
    timer = setTimeout(() => root.classList.add('gooddrag-waits'), 500);
  });
  new MutationObserver(() => { // the kernel answered
    clearTimeout(timer);
    root.classList.remove('gooddrag-waits');
  }).observe(root.querySelector('.gooddrag-beat'), { childList: true, subtree: true, characterData: true });
  on('mouseup', e => e.button && e.stopPropagation());
  on('mouseout', e => held && e.stopPropagation());
  on('wheel', e => e.stopPropagation()); // the page scrolls
  const outside = e => {
    if (!held || !e.isTrusted) return;
    if (e.type === 'mouseup') held = e.button !== 0;
    if (e.target !== canvas()) canvas().dispatchEvent(new MouseEvent(e.type, { clientX: e.clientX, clientY: e.clientY }));
  };
  window.addEventListener('mousemove', outside, true);
  window.addEventListener('mouseup', outside, true);

  on('keydown', e => {
    if (!e.isTrusted) return;
    const modified = e.ctrlKey || e.metaKey || e.altKey || (e.shiftKey && e.key === 'Enter');
    if (e.key === 'Tab') e.stopPropagation();
    else if (modified && !/^[zy]$/i.test(e.key)) { // the notebook's own
      e.stopPropagation();
      if (!root.parentNode.dispatchEvent(new KeyboardEvent('keydown', e))) e.preventDefault();
    }
  });
  root.addEventListener('click', e => {
    if (e.target.closest('.gooddrag-tools button')) canvas().focus({ preventScroll: true });
  });
  root.addEventListener('click', e => {
    if (!e.target.closest('.widget-upload')) return;
    const click = HTMLInputElement.prototype.click; // the button's own input is in no document
    HTMLInputElement.prototype.click = function () {
      HTMLInputElement.prototype.click = click;
      if (!this.gooddrag) this.addEventListener('change', chosen => {
        const large = [...this.files].find(file => file.size > limit);
        if (large) { chosen.stopImmediatePropagation(); tell(`upload ${large.size}`); }
      }, true);
      this.gooddrag = true;
      click.call(this);
    };
  }, true);

  const fit = () => {
    const now = canvas() && canvas().clientWidth ? `display ${canvas().clientWidth} ${window.devicePixelRatio}` : shown;
    if (now !== shown) tell(shown = now);
  };
  new ResizeObserver(fit).observe(root);
  window.addEventListener('resize', fit);
})
