// What the kernel cannot see: which mouse button, the pointer outside the canvas, the focus, files too large to send.
// `style` is an element inside the widget.
((style, limit) => {
  const root = style.closest('.gooddrag-picker');
  if (!root || root.gooddrag) return;
  root.gooddrag = true;
  const canvas = () => root.querySelector('canvas');
  const on = (name, act) => root.addEventListener(name, e => e.target === canvas() && act(e), true);
  let held = false;

  on('mousedown', e => {
    if (e.button) return e.stopPropagation();
    held = true;
  });
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
        const large = [...this.files].some(file => file.size > limit);
        root.classList.toggle('gooddrag-refuses', large);
        if (large) chosen.stopImmediatePropagation();
      }, true);
      this.gooddrag = true;
      click.call(this);
    };
  }, true);
})
