// Appended to config.js.
config.defaultLogoUrl = 'images/watermark.svg';
config.toolbarConfig = { alwaysVisible: true };
