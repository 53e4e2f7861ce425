# each line becomes a string literal of C
s/\\/\\\\/g
s/"/\\"/g
s/^/"/
s/$/\\n",/
