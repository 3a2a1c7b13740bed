module wasiscope/guest

// The oldest Go that knows GOOS=wasip1, so that any TinyGo with that target takes these sources too.
go 1.21
