"""What streams of waves begin with, learned from generated models by `velcodec.train.waves`."""

from __future__ import annotations

import zlib
from base64 import b85decode
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .coefficients import LOGIT_BITS, MORES, ROWS, STAGES
from .corrections import SIDE_ROWS, WHICH_ROWS

Int64 = NDArray[np.int64]

KEPT_SHIFT = LOGIT_BITS + 2
"""Weights are kept in 1/16 bit."""

SHAPES = (STAGES + 1, ROWS), (1, WHICH_ROWS), (1, SIDE_ROWS)


class Models(NamedTuple):
    """Weights of the coefficients' features, adaptive bits that say whether there are more, and the
    weights of where corrections are and to which side.
    """

    weights: Int64
    more: Int64
    which: Int64
    side: Int64


def untrained() -> Models:
    """Models that know nothing."""
    weights, which, side = (np.zeros(shape, dtype=np.int64) for shape in SHAPES)
    return Models(weights, _adaptive([1 << 15] * MORES), which, side)


def _adaptive(frequencies: list[int]) -> Int64:
    return np.array([[frequency, 8] for frequency in frequencies], dtype=np.int64)


def first_models() -> Models:
    """Models as they are before a stream."""
    weights, which, side = (kept.astype(np.int64) << KEPT_SHIFT for kept in _kept())
    return Models(weights, _adaptive(list(MORE)), which, side)


@cache
def _kept() -> list[NDArray[np.int8]]:
    flat = np.frombuffer(zlib.decompress(b85decode("".join(WEIGHTS))), dtype=np.int8)
    ends = np.cumsum([rows * columns for rows, columns in SHAPES])
    return [
        part.reshape(shape) for part, shape in zip(np.split(flat, ends[:-1]), SHAPES, strict=True)
    ]


MORE = (0, 10406, 2032, 32768, 34, 81, 0, 0, 0, 0, 0, 0)
WEIGHTS = (
    "c-oy;X>%i26}@loO)bf?#^X$8nADI^p;9C%2=D{=<%IAdKoO`^AXI?aY<WEP*cwT#Uf#la-L^d0$kJs?Pu+Uzd(S=R"
    "+}q3AQRh7gA*E76gm%4n>tIgPQEEi!>T0vTI6Haz8LpBPOmG&0wN0~nxmo^h{~jHbDOIHk+v?)<Y_X~8*8BQm_4(mm"
    "IhpMh;tNuWORX6rN|a<0haka42%K=v5eXNFY1TS?4uWgeteZeMXZX6RH{LVSp$n{A)~!RR<Xv}udUA36VUot6@q<Ee"
    "&RP7u5CUF2w#T>5dFQO_oNY;boRO>-)ksL<Oq<ZPS|q$vtTfgxc^7Qp`Z(85%j|fZos{{rNp><yj-^_}&^+^q(RX!+"
    "?7bk}A12WVAlUl+?%kiz;cQZ7TDW$zdimny=<~h(l8Qnr!3lA+^?F@ze(}L?>7DxrV!fBRcD;Ol`m|bCO>o<@(@)=="
    "9L`3X(F-~-xt7>QbXaC4O_3UDV>odR;5rtQkfLLorsIlpsnUye?Qu#1we7aH*nq0|cD?QZ31G&}j!&PR9shNdXsNWq"
    "pO9QI7E41BFcyeM-~l3e{COs6{xQM`Pq(S$l2pPt_leMsajj6P)<jMu(<h_Z<H`JJGCSVeTa0E$`Ru7Ik2;3BYlBER"
    "cRsLMAq;7>24+BwGjBJm={>sp`tA8RSG;XDtIOw$hebZ3Q3e7k)Y^7!U018IP^4ye-hcZy4@%XpF3z9D3r%&oc=9(y"
    "juaS;kp|;KI)WiV9`VanJ}Yy9)xqTUUdE;DNRASd0xGbh?Hr3qsLg8CI-$WN5N2E15IS(pZ7xra7AMD-xiK0VkqQvw"
    "JHW^fY#T_2PrwVL25_8y`3Ehff2dQ%f>tT($R(h?Pqhe+bt+PSfA50kmo!_lgO{}bl9fxEUfS{nn5rz-K-=hm!p1Bd"
    "$j2ksHS|YzyTCov^xmCY(?XL2JQwFDd6H9}fFni-a$U1sua+70*vR6&U%mU&iEcJ8aH-i|o<92Gk92ip^tFQxF9S0`"
    "u4Ft-A+J<VW_R}UWJ!rmvm}Lz8*tq@CK#8F*{ZHXzbCAY{`2JM*<zKMh!}iD;49Q?lOnfR@F76=E?AFc#8c4TCqa4t"
    "@4H5Jt}vNkE&@g_1B1x7l6mh7aESTHQ`8nQMb&#RZ0mz`kc5?x0~0!p8K73dl90NO$v*AVVtRhKKZZ(eQ!ig+$`FK*"
    "0NO<HV7IG!C9ZK0{Ql41duz|w!U$hqE*}2lqunL??t}H<gOE}cd1M_|>FD+SqK45blV>UPrI>*6I0*n?5$FGXyf`~{"
    "!oV>kR1=eo^g`nOf8<;Ihb1zuM9>f=JtnOF{$P{{mkGs~m3tZpY8`ZN7U(z|0gNHb{uQ#))Jxs+RyL5Rl^!xzrbku4"
    "Z<)or28jhbi6L-mnVP&d8>iB?)iN>z)Wl9~O0{gNZX0$<ccPg;c=wI*ooOok>iMI8?NAHfh1b_kxc*(JG+9SDrG!ID"
    "6YrkEd(#+)cjw2)FHdo5aI?6}!*BdxVlbY*8AR(8Npv#<+-Vt@pg+BlN*5+v80%S%OTP3x0uvaII1gZ{9=HKDg_5>h"
    "=nh4KQWLP-@F7~zm`Uacr?fdA&ULH_d~$0)Rn%>-vH~GkPf^KO;JaikvzF%f-u~dhJPVuWk3RkI`U<BXdf44+xG7^I"
    "m7-s$^wxaTV{7YWwX7{X5Fk+iV$S#N6I~t|3aCd3R2a5{N(bt&t0hD3qx+g#KZUb*jmeGfY@TuzTQp$qL_})fn!bXp"
    "=UN@Sxge2R#uB)1#&)TN1ouK{+*}SpJF)`JCqEb^ynTfZC_l-Z4Bs(@!x%wWF~0xncMdaq{^Xy(|5i4A%W;G54LkjA"
    "C9i%AfaqbRxZumGLXU0Gnc5a<bFEcwvLZ_|ok5r!(1457+f&TP8^!-}TXV|_6;02l3ZhRi>|hR(v8nPKVaiufBTPlv"
    "hPm_-qAc>PxQ-SqMSsvT4UTVi3BWNV6XsyleOX70&l8)zlBwWc!1|<^{_H{NFCP8*$8+tQb`-l+ejS3~>TI=KRdrLh"
    "7E?e`<kKQ6l1#)FC!w`K{7W@!VSwgg5mYUe^W1^Nf*MGUp(RQkJ2AgPY5>k$8yvGNBsIdQa0zLas`p~@95R=wNiiq+"
    "?z-r_7o_B-Oup(rvl43FeRAB!`2|BKXX)WBwfgM(lKP%lvHz=8xm%5Q8w$BNJHM<v=}9?7{V`HNoslvzBhJ5uzIAZ9"
    "$7S6)i4oVg0;1L-HC-cA5vRU16S3zHA|2X7gbV|P3oe7)cpXvGYX4dc%%Nb?B*46TC6U;JBFAT64MCTwyZMCe4tL9h"
    "2E>et(IfiN$Bja7Y~cp`n@J|ui|6NSJ3g516%jBt42a+E3l8lqf0k9DF`-(qZPIRCSEpI%a2|G*mGeO9HP;5zqT4~?"
    "7L5mpVa6kt2syjC4ZJj3Xq*_YhXypL-W3>6zZ!xWW&V}eFiU!{QpD*g4quxe>TBP`I{ytw>fLH&F4orEDwBRb{T_#R"
    "q?60A>Ad091~aa&F{digT5cc{m8DY=e}5p_U~PPO&VX$vR}n=f&%j!I1HKtuEh?MCRi_i0l(}IH&D^3<!8&!4QJy9J"
    "Bh@hJQ;3fy=GL9tqp|9?P1WEL)W+%DUk|cZ+KMa){a9zv)}nGsJuxy)1C%C4<2GpDnBYVI7{nUeSp>^OXnc!j0}KrK"
    "#PPg}@uI(T?3X^E#vFqe7ja}mcZht8y?wZ4oO@$21D+YZ(xkgsenbH)f`BmBV*zOi8DPsyi`Z~SEln&<I#$5{`&U@H"
    "?l8+@Ry7(A)OhIS;>{j_X{=o@Lj%7x==t5e9FImtep9MxndfPmh%{9yjyLXlH0Y1_@6HH7bJtcYTa18MRhyF&{)`UQ"
    ";cNc`*W$!I"
)
