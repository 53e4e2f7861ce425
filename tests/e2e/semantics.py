# tests/e2e/semantics.py - run by test_semantics.sh: two mounts A and B of one cluster, and what must
# be true of them and of the under-store.  usage: semantics.py WORK STORE
import mmap, os, subprocess, sys, time, traceback
W,S=sys.argv[1:3]
A,B=W+'/A',W+'/B'
bad=0
def check(name, got, want):
    global bad
    if got!=want:
        bad+=1; print("BAD", name, "got",repr(got)[:200],"want",repr(want)[:200],flush=True)
    else: print("ok ", name)
def rd(p):
    with open(p,'rb') as f: return f.read()
def wr(p,b):
    with open(p,'wb') as f: f.write(b)
def case(fn):
    global bad
    try: fn()
    except Exception as e:
        bad+=1; print("BAD", fn.__name__, "raised", repr(e), "at line", traceback.extract_tb(e.__traceback__)[-1].lineno, flush=True)
for other,tag in ((A,'same'),(B,'other')):
    def rot():
        n='rot'+tag
        fd=os.open(f"{A}/{n}",os.O_RDWR|os.O_CREAT)
        os.write(fd,b'aaaa')
        os.rename(f"{other}/{n}",f"{other}/{n}.1"); wr(f"{other}/{n}",b'XXXX')
        os.write(fd,b'bbbb')
        check('rotate write '+tag,(rd(f"{S}/{n}.1"),rd(f"{S}/{n}")),(b'aaaabbbb',b'XXXX'))
        check('rotate read '+tag,os.pread(fd,100,0),b'aaaabbbb')
        os.ftruncate(fd,2); check('rotate ftruncate '+tag,(rd(f"{S}/{n}.1"),rd(f"{S}/{n}")),(b'aa',b'XXXX'))
        os.fsync(fd)
        os.close(fd)
        check('rotate mount '+tag,(rd(f"{B}/{n}.1"),rd(f"{A}/{n}")),(b'aa',b'XXXX'))
    case(rot)
    def unl():
        n='unl'+tag
        fd=os.open(f"{A}/{n}",os.O_RDWR|os.O_CREAT)
        os.write(fd,b'aaaa')
        os.unlink(f"{other}/{n}"); wr(f"{other}/{n}",b'XXXX')
        os.write(fd,b'bbbb')
        check('unlink write '+tag,rd(f"{S}/{n}"),b'XXXX')
        check('unlink read '+tag,os.pread(fd,100,0),b'aaaabbbb')
        os.ftruncate(fd,2)
        check('unlink read trunc '+tag,os.pread(fd,100,0),b'aa')
        os.fsync(fd)
        os.close(fd)
        check('unlink after '+tag,rd(f"{A}/{n}"),b'XXXX')
    case(unl)
    def drn():
        d='dir'+tag
        os.mkdir(f"{A}/{d}")
        fd=os.open(f"{A}/{d}/f",os.O_RDWR|os.O_CREAT)
        os.write(fd,b'aaaa')
        os.rename(f"{other}/{d}",f"{other}/{d}.1"); os.mkdir(f"{other}/{d}"); wr(f"{other}/{d}/f",b'XXXX')
        os.write(fd,b'bbbb')
        check('dir write '+tag,(rd(f"{S}/{d}.1/f"),rd(f"{S}/{d}/f")),(b'aaaabbbb',b'XXXX'))
        check('dir read '+tag,os.pread(fd,100,0),b'aaaabbbb')
        os.close(fd)
    case(drn)
    def ro():
        n='ro'+tag
        wr(f"{A}/{n}",b'old!'*1000); time.sleep(.05)
        fd=os.open(f"{A}/{n}",os.O_RDONLY)
        wr(f"{other}/{n}.new",b'NEW!'*1000)
        os.rename(f"{other}/{n}.new",f"{other}/{n}")
        check('replaced ro read '+tag,os.pread(fd,4000,0),b'old!'*1000)
        os.close(fd)
        check('replaced new '+tag,(rd(f"{A}/{n}"),rd(f"{B}/{n}")),(b'NEW!'*1000,)*2)
        time.sleep(.05); fd=os.open(f"{A}/{n}",os.O_RDONLY)
        os.unlink(f"{other}/{n}"); wr(f"{other}/{n}",b'3rd!'*1000)
        check('unlinked ro read '+tag,os.pread(fd,4000,0),b'NEW!'*1000)
        os.close(fd)
        os.mkdir(f"{A}/{n}d"); wr(f"{A}/{n}d/f",b'old!'*1000); time.sleep(.05)
        fd=os.open(f"{A}/{n}d/f",os.O_RDONLY)
        os.rename(f"{other}/{n}d",f"{other}/{n}d2"); os.mkdir(f"{other}/{n}d"); wr(f"{other}/{n}d/f",b'3rd!'*1000)
        check('dir ro read '+tag,os.pread(fd,4000,0),b'old!'*1000)
        os.close(fd)
        fd=os.open(f"{A}/{n}d/f",os.O_RDONLY)
        time.sleep(.05)
        os.rename(f"{other}/{n}d/f",f"{other}/{n}d/g"); wr(f"{other}/{n}d/f",b'4th!'*1000)
        check('renamed ro read '+tag,os.pread(fd,4000,0),b'3rd!'*1000)
        os.close(fd)
    case(ro)
    def later():
        # what moves only names leaves the bytes of an open file readable, also when its time of change is no longer young
        def one(what,change,names=()):
            p,q=f"{A}/late{tag}{what}",f"{other}/late{tag}{what}"; want=os.urandom(4000000); wr(p,want)
            for n in names: os.link(q,q+n)
            time.sleep(.1)
            fd=os.open(p,os.O_RDONLY); os.pread(fd,1000,0)
            change(q); time.sleep(.1)
            check(f'{what} of an open file {tag}',os.pread(fd,1000,3500000)==want[3500000:3501000],True)
            os.close(fd)
        one('rename',lambda q: (os.rename(q,q+'.1'),wr(q,b'new')))
        one('unlink',lambda q: (os.unlink(q),wr(q,b'new')))
        one('replace',lambda q: (wr(q+'.1',b'new'),os.rename(q+'.1',q)))
        one('link',lambda q: os.link(q,q+'.1'))
        one('unlink1of2',lambda q: os.unlink(q),('.1',))
        one('unlink2of2',lambda q: os.unlink(q+'.1'),('.1',))
        one('replace1of3',lambda q: (wr(q+'.n',b'new'),os.rename(q+'.n',q)),('.1','.2'))
    case(later)
    def links():
        n='ln'+tag
        wr(f"{A}/{n}",b'1'); os.stat(f"{B}/{n}"); os.stat(f"{A}/{n}")
        os.link(f"{other}/{n}",f"{other}/{n}.2")
        check('nlink '+tag,[os.stat(f"{x}/{y}").st_nlink for x in (A,B) for y in (n,n+'.2')],[2]*4)
        wr(f"{A}/{n}.2",b'12345')
        check('size '+tag,[os.stat(f"{x}/{y}").st_size for x in (A,B) for y in (n,n+'.2')],[5]*4)
        check('bytes '+tag,[rd(f"{x}/{y}") for x in (A,B) for y in (n,n+'.2')],[b'12345']*4)
        os.unlink(f"{other}/{n}")
        check('nlink after '+tag,[os.stat(f"{x}/{n}.2").st_nlink for x in (A,B)],[1]*2)
        check('gone',[os.path.exists(f"{x}/{n}") for x in (A,B)],[False]*2)
        check('link bytes '+tag,[rd(f"{x}/{n}.2") for x in (A,B)],[b'12345']*2)
    case(links)
def trunc():
    wr(f"{A}/t",b'x'*3000000)
    fd=os.open(f"{B}/t",os.O_RDONLY); os.pread(fd,10,0)
    os.truncate(f"{A}/t",5); os.truncate(f"{A}/t",20)
    try: got=os.pread(fd,4000000,0)
    except OSError as e: got=e.strerror
    print("trunc under reader:",got if len(got)<100 else len(got))
    os.close(fd)
    check('after trunc',rd(f"{B}/t"),b'xxxxx'+b'\0'*15)
case(trunc)
def suid():
    for n in ('s1','s2','s3'):
        wr(f"{A}/{n}",b'x'*100); os.chmod(f"{A}/{n}",0o6777)
    P=['setpriv','--reuid=65534','--regid=65534','--clear-groups']
    r=subprocess.run(P+['dd','if=/dev/zero',f'of={A}/s1','bs=1','count=1','conv=notrunc','status=none'])
    check('suid write',(r.returncode,oct(os.stat(f"{A}/s1").st_mode)),(0,'0o100777'))
    check('suid write ufs',oct(os.stat(f"{S}/s1").st_mode),'0o100777')
    r=subprocess.run(P+['truncate','-s','5',f'{A}/s2'])
    check('suid trunc',(r.returncode,oct(os.stat(f"{A}/s2").st_mode)),(0,'0o100777'))
    r=subprocess.run(P+['sh','-c',f'echo y > {A}/s3'])
    check('suid otrunc',(r.returncode,oct(os.stat(f"{A}/s3").st_mode)),(0,'0o100777'))
    wr(f"{A}/s4",b'x'); os.chmod(f"{A}/s4",0o6777); os.chown(f"{A}/s4",65534,65534)
    check('suid chown',oct(os.stat(f"{A}/s4").st_mode),'0o100777')
    check('suid chown ufs',oct(os.stat(f"{S}/s4").st_mode),'0o100777')
case(suid)
def perm():
    P=['setpriv','--reuid=65534','--regid=65534','--groups=1234']
    def u(cmd): return subprocess.run(P+['sh','-c',cmd],stderr=subprocess.DEVNULL).returncode
    wr(f"{A}/p",b'secret'); os.chmod(f"{A}/p",0o600)
    check('perm read',u(f'cat {A}/p'),1)
    check('perm write',u(f'echo >> {A}/p')!=0,True)
    os.chmod(f"{A}/p",0o640); os.chown(f"{A}/p",0,1234)
    check('perm group read',u(f'cat {A}/p >/dev/null'),0)
    check('perm group write',u(f'echo >> {A}/p')!=0,True)
    os.chmod(f"{A}/p",0o660)
    check('perm group write ok',u(f'echo -n x >> {A}/p'),0)
    os.mkdir(f"{A}/pd"); os.chmod(f"{A}/pd",0o2770); os.chown(f"{A}/pd",0,1234)
    check('perm create in group dir',u(f'umask 027; echo hi > {A}/pd/f && mkdir {A}/pd/d'),0)
    st=os.stat(f"{A}/pd/f"); check('owner',(st.st_uid,st.st_gid,oct(st.st_mode)),(65534,1234,'0o100640'))
    st=os.stat(f"{S}/pd/f"); check('owner ufs',(st.st_uid,st.st_gid,oct(st.st_mode)),(65534,1234,'0o100640'))
    st=os.stat(f"{A}/pd/d"); check('dir owner',(st.st_uid,st.st_gid,oct(st.st_mode)),(65534,1234,'0o42750'))
    check('chown refused',u(f'chown 0 {A}/pd/f')!=0,True)
    check('chmod ok',u(f'chmod 600 {A}/pd/f'),0)
    os.mkdir(f"{A}/st"); os.chmod(f"{A}/st",0o1777); wr(f"{A}/st/f",b'')
    check('sticky',u(f'rm -f {A}/st/f')!=0,True)
    os.chmod(f"{A}/pd",0o700)
    check('no search',u(f'cat {A}/pd/f')!=0,True)
    check('no search B',u(f'cat {B}/pd/f')!=0,True)
    check('open 0444 create',u(f'cd {A}/st && python3 -c "import os; f=os.open(\'z\',os.O_CREAT|os.O_RDWR,0o444); os.write(f,b\'abc\'); os.fsync(f); print(os.pread(f,10,0))" >/dev/null'),0)
    check('touch own',u(f'touch {A}/st/z2 && touch -d 2001-01-01 {A}/st/z2'),0)
    check('touch other',u(f'touch -d 2001-01-01 {A}/st/f')!=0,True)
    os.chmod(f"{A}/st/f",0o666)
    check('touch writable now',u(f'touch {A}/st/f'),0)
case(perm)
def mm():
    wr(f"{A}/m",os.urandom(3000001))
    d=rd(f"{S}/m")
    with open(f"{B}/m",'rb') as f, mmap.mmap(f.fileno(),0,prot=mmap.PROT_READ) as m: check('mmap ro',m[:]==d,True)
    with open(f"{A}/m",'r+b') as f:
        m=mmap.mmap(f.fileno(),0); m[5:10]=b'HELLO'; m[2999990:2999995]=b'WORLD'; m.flush()
        f.seek(0); x=f.read()
        check('mmap shared then read',(x[5:10],x[2999990:2999995]),(b'HELLO',b'WORLD'))
        f.seek(100); f.write(b'direct'); f.flush()
        check('mmap sees write',m[100:106],b'direct')
        m.close()
    d=rd(f"{S}/m"); check('mmap ufs',(len(d),d[5:10],d[2999990:2999995],d[100:106]),(3000001,b'HELLO',b'WORLD',b'direct'))
    check('mmap B',rd(f"{B}/m")==d,True)
case(mm)
def app():
    ps=[subprocess.Popen([sys.executable,'-c',f'''
import os
fd=os.open("{A}/app",os.O_WRONLY|os.O_APPEND|os.O_CREAT)
for i in range(300): os.write(fd,b"%d:%04d;"%({k},i))
''']) for k in range(4)]
    [p.wait() for p in ps]
    got=sorted(x for x in rd(f"{S}/app").split(b';') if x); want=sorted(b"%d:%04d"%(k,i) for k in range(4) for i in range(300))
    check('appenders',got==want,True)
case(app)
def app2():
    open(f"{A}/app2",'w').close()
    for i in range(50):
        for M in (A,B):
            fd=os.open(f"{M}/app2",os.O_WRONLY|os.O_APPEND); os.write(fd,b"%s%04d;"%(M[-1:].encode(),i)); os.close(fd)
    check('append by turns',rd(f"{S}/app2"),b''.join(b"A%04d;B%04d;"%(i,i) for i in range(50)))
case(app2)
def spa():
    fd=os.open(f"{A}/sp",os.O_RDWR|os.O_CREAT); os.pwrite(fd,b'end',5000000); 
    check('sparse',os.pread(fd,10,4999995),b'\0'*5+b'end'); check('sparse0',os.pread(fd,1<<20,0)==b'\0'*(1<<20),True); os.close(fd)
    check('sparse B',rd(f"{B}/sp")==b'\0'*5000000+b'end',True)
    os.truncate(f"{B}/sp",10000000); check('extended',len(rd(f"{A}/sp")),10000000)
case(spa)
def ftr():
    fd=os.open(f"{A}/ft",os.O_RDWR|os.O_CREAT); os.write(fd,b'x'*100); os.ftruncate(fd,10); check('ftr size',os.fstat(fd).st_size,10)
    check('ftr B',os.stat(f"{B}/ft").st_size in (0,10,100),True)
    os.ftruncate(fd,50); check('ftr grow',os.pread(fd,100,0),b'x'*10+b'\0'*40); os.close(fd)
    check('ftr end',rd(f"{B}/ft"),b'x'*10+b'\0'*40)
case(ftr)
def fpz():
    # replaced behind our back while open
    for k in range(3):
        wr(f"{S}/beh",b'a'*4000000)
        os.stat(f"{A}/beh") if os.path.exists(f"{A}/beh") else None
        try: fd=os.open(f"{A}/beh",os.O_RDONLY)
        except OSError as e: print('open',e); time.sleep(1); continue
        x=os.pread(fd,1000,0); wr(f"{S}/beh.n",b'b'*4000000); os.rename(f"{S}/beh.n",f"{S}/beh")
        try: y=os.pread(fd,1000,3900000)
        except OSError as e: y=str(e).encode()
        print('behind',k,x[:4],y[:40]); 
        if x[:1]==b'a' and y[:1]==b'b': check('two versions in one open',1,0)
        os.close(fd)
case(fpz)
print("bad:",bad)
sys.exit(bad>0)
